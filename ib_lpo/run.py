"""The run directory: what a run leaves behind, and where it goes on from.

    runs/<name>/manifest.yaml  metrics.jsonl  trees/step-000012.parquet  rollouts.jsonl  checkpoints/step-000012/  latent/  wandb/

Steps count from 1. A step is recorded in this order: trees, metrics, checkpoint when due. A run that goes on from a
checkpoint drops metrics and rollouts of later steps, so whenever a run is killed, each step ends up there exactly once.
Besides the learner's state a checkpoint holds the step, the position in the data (branching/draws.py) and how the forks
so far turned out (branching/openness.py); all else that a run needs to go on is a function of them, random numbers
included (seeds.py). It also holds digests of what lies outside of the run directory, the trained latent and the
training questions: others in their place are refused. The latent is copied to latent/ before the first step, and from
there to every checkpoint.
"""

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

from ib_lpo.alarms import raise_alarms
from ib_lpo.assembly import Assembly
from ib_lpo.branching.draws import Draws
from ib_lpo.branching.openness import PastForks
from ib_lpo.budget.ending import generated_tokens, is_last
from ib_lpo.checkpoints.contents import LATENT, LEARNER, fill
from ib_lpo.checkpoints.directory import Checkpoint, find
from ib_lpo.checkpoints.durable import sync
from ib_lpo.checkpoints.shelf import Checkpoints
from ib_lpo.errors import UserError
from ib_lpo.latent.store import keep_latent, latent_digest
from ib_lpo.learner.group import LearnerLost
from ib_lpo.manifest import Manifest
from ib_lpo.previous import require_same, set_aside
from ib_lpo.progress import StepDisplay, say, summary_table
from ib_lpo.summary import ends, totals
from ib_lpo.termination import Terminated, Termination
from ib_lpo.tracking import read_metrics
from ib_lpo.tracking.rollouts import rollouts
from ib_lpo.tracking.tracker import Tracker
from ib_lpo.tree import RolloutTree
from ib_lpo.tree_store import write_trees

METRICS = "metrics.jsonl"
_CHECKS = ("held_out", "evaluation")  # phases of a step that is trained on and can be recorded without them
Resume = bool | Path
"""False: start anew; True: from the newest complete checkpoint, or the start without any; a path: from that checkpoint of the run."""


class Run:
    """Records steps, writes checkpoints, and knows how many steps are done, which batches of questions are drawn and
    how the forks of the steps taken turned out."""

    def __init__(self, manifest: Manifest, *, resume: Resume):
        """Raises UserError when what would be gone on from is another run, or was trained with another latent."""
        self._manifest = manifest
        self._latent = latent_digest(manifest)
        self._resumed = resume is not False
        self._directory: Path = manifest.run_dir
        self._shelf = Checkpoints(self._directory / "checkpoints", manifest.checkpoint, name=manifest.name)
        if not self._resumed:
            set_aside(self._directory)
        found = find(self._directory / "checkpoints", resume)
        if found is not None:
            _require_same_run(manifest)
            self._require_latent(found)
            self._shelf.go_on_from(found)
        elif read_metrics(self._directory / METRICS):
            _require_same_run(manifest)
            set_aside(self._directory)
        self._go_on_from(found)
        self._kept_latent = keep_latent(manifest, self._directory / LATENT, self._latent)
        self._display = StepDisplay(manifest.steps, self.done)
        self._losses = 0
        self._termination: Termination | None = None
        self._phase = ""
        self._ahead = False  # whether the learner has left version `done`: its step is trained on, and not recorded yet
        self.alarms = manifest.learner  # whose thresholds alarms go by
        self.compared = False  # whether engine and learner were, in this process
        self._unsynced: list[Path] = []  # trees since the last checkpoint

    def __enter__(self) -> "Run":
        nothing = " (no checkpoint to resume from)" if self._resumed else ""
        where = f"from step {self.done}" if self._checkpoint else f"from the start{nothing}"
        say(f"run {self._manifest.name} {where}, {self._manifest.steps} steps, in {self._directory}")
        self._display.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._display.__exit__(kind, *error)
        self._tracker.close()
        self._shelf.close(wait=kind is None)

    @property
    def begun(self) -> bool:
        """Whether the starting policy, or a step, is recorded."""
        return bool(self._lines)

    @property
    def for_workers(self) -> Manifest:
        """The manifest with the run's own copy of the latent: who is replaced later loads that too."""
        if self._kept_latent is None:
            return self._manifest
        latent = self._manifest.latent.model_copy(update={"weights": self._kept_latent.directory.resolve()})
        return self._manifest.model_copy(update={"latent": latent})

    @property
    def over(self) -> bool:
        """Whether no step is left: all are done, or the budget is spent."""
        return is_last(self.done, generated_tokens(self._lines), self._manifest)

    def tokens_total(self, metrics: dict[str, float]) -> dict[str, float]:
        """`grow/tokens_total`: tokens generated for training so far, those of the step with `metrics` included."""
        return {"grow/tokens_total": float(generated_tokens([*self._lines, metrics]))}

    def ends_with(self, step: int, metrics: dict[str, float]) -> bool:
        """Whether `step`, which has `metrics` and is not recorded yet, is the last one."""
        return is_last(step, generated_tokens([*self._lines, metrics]), self._manifest)

    def restore(self, parts: Assembly) -> int:
        """Bring the learner to policy version `done`, which is returned: from the checkpoint gone on from, or the starting model."""
        if self._checkpoint is not None:
            self._require_questions(self._checkpoint, parts)
            parts.learner.load((self._checkpoint.path / LEARNER).resolve())
        return self.done

    def rewind(self, parts: Assembly, loss: LearnerLost) -> int:
        """After the loss of the learner: a new one at the newest checkpoint, and a record that ends there. Returns the policy version.

        Raises the loss after `cluster.most_restarts` of them.
        """
        self._losses += 1
        if self._losses > self._manifest.cluster.most_restarts:
            raise loss
        self._tracker.close()
        self._ahead = True
        undone = self.done
        self._go_on_from(find(self._directory / "checkpoints", True))
        say(f"{loss}\nthe learner is started again from step {self.done}; {undone - self.done} steps are done again")
        self._display.rewind(self.done)
        with self.phase("recovery"):
            parts.learner.restart()
            version = self.restore(parts)
        self._ahead = False
        say(f"the learner is at step {version} again")
        return version

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Show and time a phase of the step; its seconds are recorded with the step. Raises Terminated as `stop_if_asked` does."""
        self.stop_if_asked()
        self._phase, self._ahead = name, self._ahead or name == "update"
        return self._display.phase(name)

    def ends_on(self, termination: Termination) -> None:
        """Ask it from now on whether the run is to end."""
        self._termination = termination

    def stop_if_asked(self) -> None:
        """Raise Terminated when a signal came and nothing that was trained on would be lost: while a step grows, or is checked."""
        if self._termination is not None and (not self._ahead or self._phase in _CHECKS):
            self._termination.check()

    def leave(self, parts: Assembly, asked: Terminated) -> Terminated:
        """Save the last step that is recorded, unless that is saved; what to tell whoever asked. Raises Terminated when time runs out."""
        if self.done == 0 and not self._ahead:
            return Terminated(f"{asked}; no step is done yet, --resume starts over")
        if self._ahead or self._manifest.checkpoint.every == 0:
            return Terminated(f"{asked}; go on from step {self._saved} with --resume")
        parts.scheduler.abandon()
        if self.done > self._saved:
            try:
                self._save(self.done, self._lines[-1], parts)
            except UserError as error:
                return Terminated(f"{asked}; step {self.done} could not be saved ({error}); go on from step {self._saved} with --resume")
        return Terminated(f"{asked}; step {self.done} of {self._manifest.steps} is saved, go on with --resume")

    def log_start(self, metrics: dict[str, float]) -> None:
        """Record what is known of the starting policy, as step 0."""
        self._tracker.log(0, metrics | self._display.seconds)
        self._lines = read_metrics(self._tracker.path)
        self._display.begin()

    def record(self, step: int, trees: list[RolloutTree], metrics: dict[str, float], parts: Assembly) -> None:
        """Write trees, metrics and rollouts, tell alarms, save a checkpoint when due; its seconds count towards the next step."""
        last = self.ends_with(step, metrics)
        path = self._directory / "trees" / f"step-{step:06d}.parquet"
        self._unsynced.append(write_trees(path, trees, step, decode=parts.decode))
        metrics |= self._display.seconds | self._display.idle("learner", ("update", "publish")) | self._shelf.metrics()
        metrics["fleet/learner_losses"] = float(self._losses)
        alarms, told = raise_alarms(self._lines, metrics, self.alarms)
        metrics |= alarms
        self._lines.append(metrics)
        config, seed = self._manifest.tracking, self._manifest.seed
        self._tracker.log(step, metrics, rollouts(trees, step, config, seed=seed, decode=parts.decode))
        self._display.done(step, metrics)
        for text in told:
            say(f"ALARM step {step}: {text}")
        if last and step < self._manifest.steps:
            say(f"step {step} is the last one: budget.generated_tokens={self._manifest.budget.generated_tokens} is spent")
        self.done = step
        self.draws.finished(step)
        self._forks = self.past_forks.state()
        every = self._manifest.checkpoint.every
        if every > 0 and (step % every == 0 or last):
            with self.phase("checkpoint"):
                self._save(step, metrics, parts)
        self._ahead = False

    def summarise(self) -> None:
        """Print the table of the whole run, resumed parts included."""
        lines = read_metrics(self._tracker.path)
        self._display.console.print(summary_table(*ends(lines), totals(lines)))

    def _go_on_from(self, found: Checkpoint | None) -> None:
        """Take the step, the position in the data and the record from a checkpoint; None: the start of the run."""
        self._checkpoint = found
        self.done: int = 0 if found is None else found.step
        self.draws = Draws() if found is None else Draws.of(found.state)
        self.past_forks = PastForks(None if found is None else found.state.get("forks"))  # older checkpoints have none
        self._forks = self.past_forks.state()
        self._saved = self.done
        self._tracker = Tracker(self._directory, self._manifest, resume_from=self.done if found else None)
        self._lines = read_metrics(self._tracker.path)

    def _save(self, step: int, metrics: dict[str, float], parts: Assembly) -> None:
        def save(directory: Path) -> None:
            self._sync_record()
            fill(directory, self._manifest, parts.learner, self._kept_latent)

        state = {"step": step, **self.draws.state(), "latent": self._latent, "questions": _digest(parts)}
        state["forks"] = self._forks
        self._shelf.write(step, save, state, metrics)
        self._saved = step

    def _sync_record(self) -> None:
        """Bring the record to the disk before a checkpoint that goes on after it: its steps are not made again. Raises OSError."""
        for path in (*self._unsynced, self._directory / "trees", *self._directory.glob("*.jsonl"), self._directory):
            sync(path)
        self._unsynced.clear()

    def _require_questions(self, checkpoint: Checkpoint, parts: Assembly) -> None:
        """Raise UserError when the checkpoint was trained on other questions."""
        if checkpoint.state["questions"] != _digest(parts):
            raise UserError(
                f"data.train: after leaving out what is held out or in a benchmark, its questions are not those that {checkpoint.path} "
                "was trained on; put files and evaluation.benchmarks back as they were, or start over with --fresh"
            )

    def _require_latent(self, checkpoint: Checkpoint) -> None:
        """Raise UserError unless the checkpoint was trained with the latent that lies in latent.weights now."""
        if checkpoint.state["latent"] != self._latent:
            raise UserError(
                f"latent.weights={str(self._manifest.latent.weights)!r}: holds another latent than step {checkpoint.step} of "
                f"{self._directory} was trained with; put that one back, or start over with --fresh"
            )


def _digest(parts: Assembly) -> str:
    """Of the training questions, in order."""
    return hashlib.sha256(repr([(question.id, question.prompt_ids, question.answer) for question in parts.sets.train]).encode()).hexdigest()


def left_to_do(manifest: Manifest, resume: Resume) -> bool:
    """Whether a run that goes on has a step left; says so when it has none, and ends the upload of its last checkpoint. Otherwise it reads
    alone.

    Raises UserError for a checkpoint beyond `steps`, or another run's.
    """
    directory = manifest.run_dir
    found = find(directory / "checkpoints", resume)
    if resume is False or not (directory / "manifest.yaml").exists():
        return True
    recorded = [line for line in read_metrics(directory / METRICS) if found is None or line["step"] <= found.step]
    done = found.step if found else recorded[-1]["step"] if recorded else 0
    if found is not None and done > manifest.steps:
        raise UserError(
            f"steps={manifest.steps}: {found.path} has done {done}; raise steps, name an earlier checkpoint with --resume=..., or start "
            "over with --fresh"
        )
    if not done or not is_last(done, generated_tokens(recorded), manifest):
        return True
    _require_same_run(manifest)
    if found is not None and resume is True and manifest.checkpoint.upload is not None:
        shelf = Checkpoints(directory / "checkpoints", manifest.checkpoint, name=manifest.name)
        shelf.go_on_from(found)
        shelf.close()
    spent = "" if done >= manifest.steps else f", as budget.generated_tokens={manifest.budget.generated_tokens} is spent"
    finished = f"run {manifest.name} is finished: step {done} of {manifest.steps} is done{spent}, in {directory}"
    say(f"{finished}; raise that to go on, or start over with --fresh")
    return False


def _require_same_run(manifest: Manifest) -> None:
    """Raise UserError unless the run directory is that of the manifest, as far as learning goes."""
    recorded = manifest.run_dir / "manifest.yaml"
    if recorded.exists():
        require_same(manifest, recorded, may_change=_may_change(manifest))


# Sections that do not change what is learnt.
_MAY_CHANGE = {
    "steps",
    "budget",
    "runs_dir",
    "prepare",
    "held_out",
    "evaluation",
    "latent_fit",
    "analysis",
    "verifier",
    "weights",
    "checkpoint",
    "tracking",
    "cluster",
    "learner.max_logprob_gap",
    # How work is divided over processes and memory, which changes the order of sums at most.
    *(f"learner.{key}" for key in ("ranks", "max_tokens_per_micro_batch", "logprob_chunk", "gradient_checkpointing")),
    *(f"rollout.{key}" for key in ("engines", "max_running", "max_batched_tokens", "kv_cache_gb", "gpu_memory_fraction")),
    *(f"rollout.{key}" for key in ("enforce_eager", "max_iterations_per_call")),
    *(f"ib.{key}" for key in ("replicas", "max_tokens_per_batch")),
}


def _may_change(manifest: Manifest) -> set[str]:
    """Also `steps`, unless the learning rate's schedule ends there."""
    return _MAY_CHANGE - ({"steps"} if manifest.learner.lr_schedule != "constant" else set())
