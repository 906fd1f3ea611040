"""The run directory: what a run leaves behind, and where it goes on from.

    runs/<name>/manifest.yaml  metrics.jsonl  trees/step-000012.parquet  rollouts.jsonl  checkpoints/step-000012/  wandb/

Steps count from 1. A step is recorded in this order: trees, metrics, checkpoint when due. A resumed run drops metrics and rollouts of
steps after its checkpoint, so whenever a run is killed, each step ends up there exactly once. Besides the learner's state a checkpoint
holds two numbers: the step, and how many batches of questions were drawn; all else that a run needs to go on is a function of them. It
also holds digests of what lies outside of the run directory, the trained latent and the training questions: others in their place are
refused.
"""

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ib_lpo.alarms import raise_alarms
from ib_lpo.assembly import Assembly
from ib_lpo.errors import UserError
from ib_lpo.latent.store import latent_digest
from ib_lpo.learner.checkpoint import newest_complete, write_checkpoint
from ib_lpo.manifest import Manifest
from ib_lpo.previous import require_same, set_aside
from ib_lpo.progress import StepDisplay, say, summary_table
from ib_lpo.summary import ends, totals
from ib_lpo.tracking import read_metrics
from ib_lpo.tracking.rollouts import rollouts
from ib_lpo.tracking.tracker import Tracker
from ib_lpo.tree import RolloutTree
from ib_lpo.tree_store import write_trees


class Run:
    """Records steps, writes checkpoints, and knows how many steps are done and how many batches of questions are drawn."""

    def __init__(self, manifest: Manifest, *, resume: bool):
        """Raises UserError when what would be gone on from is another run, or was trained with another latent."""
        self._manifest = manifest
        self._latent = latent_digest(manifest)
        self._resume = resume
        self._directory: Path = manifest.run_dir
        if not resume:
            set_aside(self._directory)
        found = newest_complete(self._directory / "checkpoints") if resume else None
        if found is not None:
            require_same(manifest, self._directory / "manifest.yaml", may_change=_may_change(manifest))
            self._require_latent(found[1])
        self._checkpoint = None if found is None else found[0]
        self._questions: str | None = None if found is None else found[1].get("questions")
        self.done: int = 0 if found is None else found[1]["step"]
        self._drawn: int = 0 if found is None else found[1].get("batches", self.done)  # a checkpoint without it: one batch a step
        self._display = StepDisplay(manifest.steps, self.done)
        self._tracker = Tracker(self._directory, manifest, resume_from=self.done if found else None)
        self._lines = read_metrics(self._tracker.path)

    def __enter__(self) -> "Run":
        nothing = " (no checkpoint to resume from)" if self._resume else ""
        where = f"from step {self.done}" if self._checkpoint else f"from the start{nothing}"
        say(f"run {self._manifest.name} {where}, {self._manifest.steps} steps, in {self._directory}")
        self._display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.__exit__(*error)
        self._tracker.close()

    def restore(self, parts: Assembly) -> dict[str, float]:
        """Bring all parts to policy version `done`, from the checkpoint that this run resumes from or from the starting model."""
        self._require_questions(parts)
        with self.phase("publish"):
            if self._checkpoint is not None:
                parts.learner.load((self._checkpoint / "learner").resolve())
            return parts.learner.publish(self.done, parts.receivers)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Show and time a phase of the step; its seconds are recorded with the step."""
        return self._display.phase(name)

    def next_batch(self) -> int:
        """The number, from 0, of the next batch of questions, which is drawn with this call."""
        self._drawn += 1
        return self._drawn - 1

    def log_start(self, metrics: dict[str, float]) -> None:
        """Record what is known of the starting policy, as step 0."""
        self._tracker.log(0, metrics | self._display.seconds)
        self._display.begin()

    def record(self, step: int, trees: list[RolloutTree], metrics: dict[str, float], parts: Assembly) -> None:
        """Write trees, metrics and rollouts, tell alarms, save a checkpoint when due; its seconds count towards the next step."""
        write_trees(self._directory / "trees" / f"step-{step:06d}.parquet", trees, step, decode=parts.decode)
        metrics |= self._display.seconds
        alarms, told = raise_alarms(self._lines, metrics, self._manifest.learner)
        metrics |= alarms
        self._lines.append(metrics)
        config, seed = self._manifest.tracking, self._manifest.seed
        self._tracker.log(step, metrics, rollouts(trees, step, config, seed=seed, decode=parts.decode))
        self._display.done(step, metrics)
        for text in told:
            say(f"ALARM step {step}: {text}")
        self.done = step
        every = self._manifest.checkpoint.every
        if every > 0 and (step % every == 0 or step == self._manifest.steps):
            with self.phase("checkpoint"):
                self._save(step, parts)

    def summarise(self) -> None:
        """Print the table of the whole run, resumed parts included."""
        lines = read_metrics(self._tracker.path)
        self._display.console.print(summary_table(*ends(lines), totals(lines)))

    def _save(self, step: int, parts: Assembly) -> None:
        def save(directory: Path) -> None:
            (directory / "learner").mkdir()
            parts.learner.save((directory / "learner").resolve())

        state = {"step": step, "batches": self._drawn, "latent": self._latent, "questions": _digest(parts)}
        write_checkpoint(self._directory / "checkpoints", step, save, state, keep=self._manifest.checkpoint.keep)

    def _require_questions(self, parts: Assembly) -> None:
        """Raise UserError when the checkpoint was trained on other questions; one that does not say is taken as it is."""
        if self._questions not in (None, _digest(parts)):
            raise UserError(
                f"data.train: after leaving out what is held out or in a benchmark, its questions are not those that {self._checkpoint} "
                "was trained on; put files and evaluation.benchmarks back as they were, or start over with --fresh"
            )

    def _require_latent(self, state: dict[str, Any]) -> None:
        """Raise UserError unless the checkpoint of `state` was trained with the latent that lies in latent.weights now. One that does not
        say is taken as it is."""
        if state.get("latent", self._latent) != self._latent:
            raise UserError(
                f"latent.weights={str(self._manifest.latent.weights)!r}: holds another latent than step {state['step']} of "
                f"{self._directory} was trained with; put that one back, or start over with --fresh"
            )


def _digest(parts: Assembly) -> str:
    """Of the training questions, in order."""
    return hashlib.sha256(repr([(question.id, question.prompt_ids, question.answer) for question in parts.sets.train]).encode()).hexdigest()


# Sections that do not change what is learnt.
_MAY_CHANGE = {
    "steps",
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
}


def _may_change(manifest: Manifest) -> set[str]:
    """Also `steps`, unless the learning rate's schedule ends there."""
    return _MAY_CHANGE - ({"steps"} if manifest.learner.lr_schedule != "constant" else set())
