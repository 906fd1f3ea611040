"""`ib-lpo latent fit`: train the CVAE, and with objective lm the maps of z, on (question, solution) pairs before RL.

    runs/<name>-latent/   latent.safetensors  latent.json        the result, which `latent.weights` takes
                          metrics.jsonl  manifest.yaml  wandb/   one line per step; held-out reports under `held_out/`
                          checkpoints/step-000100/               a killed fit goes on from the newest complete one, bit for bit on a CPU

A latent that has collapsed, or does harm, is an error, and no result is written.
"""

from pathlib import Path

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ib_lpo.checkpoints.directory import Checkpoint, find, set_later_aside, write_checkpoint
from ib_lpo.errors import UserError
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.placement import resolve_device
from ib_lpo.latent.encoders import build_encoder
from ib_lpo.latent.fitting.elbo import collapse
from ib_lpo.latent.fitting.pairs import Pair, PairStream
from ib_lpo.latent.fitting.trainer import Trainer
from ib_lpo.latent.identity import identities
from ib_lpo.latent.store import save_latent
from ib_lpo.learner.config import LearnerConfig
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer
from ib_lpo.policy.weights import check_weights
from ib_lpo.previous import require_same, set_aside
from ib_lpo.progress import say
from ib_lpo.rollout.config import RolloutConfig
from ib_lpo.rollout.limits import context_tokens
from ib_lpo.run_lock import locked
from ib_lpo.termination import Terminated, Termination
from ib_lpo.tracking.tracker import Tracker

Report = dict[str, float | list[float]]
_SECTIONS = {"seed", "model", "data", "latent", "latent_fit", "learner", "rollout"}  # that a fit depends on
_FIXED = {"learner.dtype", "rollout.max_prompt_tokens", "rollout.max_response_tokens"}  # all that it takes of learner and rollout
_MAY_CHANGE = {
    *(Manifest.model_fields.keys() - _SECTIONS),
    *({f"learner.{key}" for key in LearnerConfig.model_fields} - _FIXED),
    *({f"rollout.{key}" for key in RolloutConfig.model_fields} - _FIXED),
    *(f"latent.{key}" for key in ("kind", "temperature", "draw", "weights", "offpolicy")),
    *(f"latent_fit.{key}" for key in ("every", "min_active_units", "min_use")),
}
_SCALED_BY = 8  # steps whose pairs measure how encodings are spread


def fit(manifest: Manifest, *, resume: bool | Path = False) -> Report:
    """Fit, save, and return the last held-out report; `resume`: from the newest checkpoint, or from that one. Raises UserError, for a
    collapsed latent too, and when another process fits it, and Terminated after SIGTERM or SIGHUP, with the step saved."""
    with Termination(manifest.cluster.grace_s) as termination, locked(manifest.latent_dir):
        return _fit(manifest, resume, termination)


def _fit(manifest: Manifest, resume: bool | Path, termination: Termination) -> Report:
    directory, config = manifest.latent_dir, manifest.latent_fit
    found = _found(manifest, directory, resume)
    stream = PairStream(manifest, load_tokenizer(manifest.model))
    _check_context(manifest, stream)
    check_weights(manifest.model)
    identities(manifest)  # what could not be saved at the end is said before the first step
    device = resolve_device(manifest.cluster, LocalFleet())
    trainer = Trainer(manifest, build_encoder(manifest.latent.encoder, manifest.model, device), device)
    done = _begin(trainer, stream, found)
    if not resume:
        set_aside(directory)
    elif found is not None:
        set_later_aside(directory / "checkpoints", found.step)
    held_out = _flat(stream.held_out())
    say(
        f"latent fit {manifest.name} from step {done} of {config.steps} on {device}: objective {config.objective}, injection "
        f"{manifest.latent.injection}, {len(held_out)} pairs held out, {stream.unsplit + stream.repeated} solutions left out "
        f"({stream.unsplit} without a step boundary, {stream.repeated} whose question is held out)"
    )
    report: Report | None = None
    with Tracker(directory, manifest, resume_from=done or None) as tracker, _bar() as bar, termination.deferred():
        task = bar.add_task("fit", total=config.steps, completed=done, shown="")
        for number in range(done + 1, config.steps + 1):
            pairs = _flat(stream.step(number))
            metrics = trainer.step(number, pairs) | {"pairs": float(len(pairs)), "cut_targets": float(sum(pair.cut for pair in pairs))}
            line = {f"fit/{name}": value for name, value in metrics.items()}
            due = number % config.every == 0 or number == config.steps
            if due:
                report = trainer.report(held_out)
                line |= {f"held_out/{name}": value for name, value in report.items() if not isinstance(value, list)}
                say(_line(number, report))
            tracker.log(number, line)
            bar.update(task, advance=1, shown=f"elbo {metrics['elbo']:.1f}  kl {metrics['kl']:.2f}")
            if due or termination.requested:
                write_checkpoint(directory / "checkpoints", number, trainer.save, {"step": number}, keep=1)
            if termination.requested:
                termination.relax()
                raise Terminated(f"{termination.requested}: step {number} of {config.steps} is saved, go on with --resume")
    if report is None:
        report = trainer.report(held_out)
        say(_line(done, report))
    _require_alive(manifest, report)
    _save(manifest, directory, trainer, report)
    return report


def _found(manifest: Manifest, directory: Path, resume: bool | Path) -> Checkpoint | None:
    """The checkpoint to go on from. Raises UserError unless it is of the same fit."""
    found = find(directory / "checkpoints", resume)
    if found is not None:
        require_same(manifest, directory / "manifest.yaml", may_change=_MAY_CHANGE)
    return found


def _check_context(manifest: Manifest, stream: PairStream) -> None:
    """Raise UserError for a sequence that the policy, where the objective runs it, is not meant for."""
    context = context_tokens(manifest, load_config(manifest.model))
    if manifest.latent_fit.objective == "lm" and stream.longest > context:
        raise UserError(
            f"latent_fit.max_target_tokens={manifest.latent_fit.max_target_tokens}: prompt, first steps and target may take "
            f"{stream.longest} tokens, the context of {manifest.model.path} has {context}; lower it, or rollout.max_response_tokens, "
            "beyond which no solution is split"
        )


def _begin(trainer: Trainer, stream: PairStream, found: Checkpoint | None) -> int:
    """Steps done: those of the checkpoint, or 0 with encodings standardised."""
    if found is None:
        trainer.scale(_flat([pairs for number in range(1, _SCALED_BY + 1) for pairs in stream.step(number)]))
        return 0
    trainer.load(found.path)
    return found.step


def _require_alive(manifest: Manifest, report: Report) -> None:
    config = manifest.latent_fit
    if cause := collapse(report, min_active_units=config.min_active_units, min_use=config.min_use):
        raise UserError(
            f"the latent is of no use: {cause}. It was not saved. Raise latent_fit.free_bits or latent_fit.steps, lower latent_fit.beta, "
            "inject more layers or slots (latent.psa), raise latent.psa.init_std where z says nothing, or lower it where z does harm"
        )


def _save(manifest: Manifest, directory: Path, trainer: Trainer, report: Report) -> None:
    facts = report | {"objective": manifest.latent_fit.objective, "steps": manifest.latent_fit.steps}
    maps, networks = trainer.objective.maps, trainer.cvae.state_dict()
    save_latent(directory, networks=networks, shape=trainer.shape, manifest=manifest, maps=maps, report=facts)
    say(f"saved: {directory}; train with latent.kind=cvae latent.weights={directory}")


def _flat(solutions: list[list[Pair]]) -> list[Pair]:
    return [pair for pairs in solutions for pair in pairs]


def _line(number: int, report: Report) -> str:
    shown = ("elbo", "kl", "nll", "nll_without", "nll_prior", "use_of_z")
    numbers = "  ".join(f"{name.replace('_', ' ')} {report[name]:.2f}" for name in shown)
    return f"step {number:>5} held out  {numbers} ± {report['use_of_z_error']:.2f}  active units {report['active_units']:.0f}"


def _bar() -> Progress:
    """Shown on a terminal alone; a log has the held-out lines."""
    console = get_console()
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[shown]}"), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("fit"), *columns, console=console, disable=not console.is_terminal)
