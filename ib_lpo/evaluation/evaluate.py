"""`ib-lpo eval`: n samples of every question of the manifest's benchmarks, graded and summarised.

    runs/<name>-eval/   manifest.yaml
                        samples/<benchmark>.jsonl   a line per finished question, there as soon as its n samples are graded
                        results.json  results.md    of the benchmarks all of whose questions are finished

Killed at any time, it goes on with `--resume`: no finished question is sampled again, and the others get the seeds they would have had.
"""

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import golds_of, load_benchmarks, require_golds
from ib_lpo.evaluation.grading import Grading
from ib_lpo.evaluation.record import Record
from ib_lpo.evaluation.responses import require_handles, responses, served
from ib_lpo.evaluation.results import shown, write_results
from ib_lpo.evaluation.summary import Summary, summarise
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.prior import build_prior
from ib_lpo.latent.store import has_maps
from ib_lpo.learner.restore import require_checkpoint
from ib_lpo.manifest import Manifest, dump
from ib_lpo.policy.load import load_config, load_tokenizer, text_decoder
from ib_lpo.previous import require_same, set_aside
from ib_lpo.progress import say
from ib_lpo.rollout.limits import check_context
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.serving import serving
from ib_lpo.tracking import replace_text

_DECIDES = {  # what is sampled and how it is graded: sections, and all that counts of some
    "seed": None,
    "model": None,
    "latent": None,
    "evaluation": None,
    "data": {"template", "chat"},
    "rollout": {"max_prompt_tokens", "max_response_tokens"},
    "learner": {"dtype"},
    "verifier": {"reward"},
}
_ONLY_SHOWN = {"every", "ks", "resamples", "published_model"}  # of `evaluation`


def evaluate(manifest: Manifest, *, resume: bool = False) -> list[Summary]:
    """Sample, grade, write the results and print them. Raises UserError, before a model is loaded, for what does not fit."""
    if not manifest.evaluation.benchmarks:
        raise UserError("evaluation.benchmarks={}: there is nothing to evaluate on; add one, as configs/eval/math.yaml does")
    as_served = served(manifest)
    _check_model(as_served)
    tokenizer = load_tokenizer(manifest.model)
    benchmarks = load_benchmarks(manifest, tokenizer)
    require_handles(as_served, benchmarks)
    verifier = Verifier(manifest.verifier)
    try:
        require_golds(benchmarks, verifier.check_gold(golds_of(benchmarks)), manifest)
        grading = Grading(as_served, text_decoder(tokenizer), verifier.grade)
        _open(manifest, resume=resume)
        records = [Record(manifest.evaluation_dir, benchmark) for benchmark in benchmarks]
        summaries = _run(as_served, records, grading)
    finally:
        verifier.close()
    for table in shown(as_served, summaries):
        get_console().print(table)
    say(f"written to {manifest.evaluation_dir}")
    return summaries


def _check_model(manifest: Manifest) -> None:
    """Raise UserError for a model, a latent or a checkpoint that is missing or does not fit."""
    config = load_config(manifest.model)
    check_context(manifest, config)
    if manifest.evaluation.checkpoint is not None:
        require_checkpoint(manifest.evaluation.checkpoint, manifest.model.path)
    if manifest.latent.kind != "none":
        build_prior(manifest)
        has_maps(manifest, MapShape.of(config, manifest.latent))


def _open(manifest: Manifest, *, resume: bool) -> None:
    """The evaluation's directory. Raises UserError when what would be gone on from is another evaluation."""
    directory = manifest.evaluation_dir
    recorded = directory / "manifest.yaml"
    if not resume:
        set_aside(directory)
    elif recorded.exists():
        require_same(manifest, recorded, may_change=_may_change(manifest))
    directory.mkdir(parents=True, exist_ok=True)
    replace_text(recorded, dump(manifest))


def _may_change(manifest: Manifest) -> set[str]:
    """Dotted keys that decide neither what is sampled nor how it is graded."""
    config = manifest.evaluation
    found = {key for key in Manifest.model_fields if key not in _DECIDES}
    found |= {f"{s}.{key}" for s, kept in _DECIDES.items() if kept for key in type(getattr(manifest, s)).model_fields if key not in kept}
    found |= {f"evaluation.{key}" for key in _ONLY_SHOWN}
    found |= {f"evaluation.benchmarks.{name}.{key}" for name in config.benchmarks for key in ("published", "ks")}
    return found | ({"latent"} if config.latents == "none" else set())


def _run(manifest: Manifest, records: list[Record], grading: Grading) -> list[Summary]:
    """Sample what is not finished, and write results after every benchmark; starts engines only if something is left."""
    config, questions = manifest.evaluation, sum(len(record.benchmark.questions) for record in records)
    what, finished = config.checkpoint or manifest.model.path, sum(len(record.done) for record in records)
    say(f"evaluation {manifest.name} of {what}: {len(records)} benchmarks, {questions} questions, {finished} of them finished already")
    if finished < questions:
        with serving(manifest, engines=manifest.rollout.engines, checkpoint=config.checkpoint) as engines, _bar() as bar:
            for record in records:
                task = bar.add_task(record.benchmark.name, total=len(record.benchmark.questions), completed=len(record.done))
                for question, generations in responses(manifest, record.benchmark, record.left, engines):
                    record.add(grading.outcome(question, generations))
                    bar.update(task, advance=1)
                _summaries(manifest, records)
    return _summaries(manifest, records)


def _summaries(manifest: Manifest, records: list[Record]) -> list[Summary]:
    """Of the complete benchmarks; written as well."""
    complete = [record for record in records if not record.left]
    resamples, seed = manifest.evaluation.resamples, manifest.seed
    found = [summarise(record.benchmark, record.outcomes(), resamples=resamples, seed=seed) for record in complete]
    write_results(manifest.evaluation_dir, manifest, found)
    return found


def _bar() -> Progress:
    """Shown on a terminal alone."""
    console = get_console()
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
