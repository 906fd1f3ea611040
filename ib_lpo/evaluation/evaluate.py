"""`ib-lpo eval`: n samples of every question of the manifest's benchmarks, graded and summarised.

    runs/<name>-eval/   manifest.yaml               resolved
                        weights.json                digests of what is sampled
                        samples/<benchmark>.jsonl   a line per finished question, there as soon as its n samples are graded
                        results.json  results.md    of the benchmarks all of whose questions are finished

Killed at any time, it goes on with `--resume`: no finished question is sampled again, and the others get the seeds they would have had.
"""

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import golds_of, load_benchmarks, require_golds
from ib_lpo.evaluation.directory import open_directory, weights_of
from ib_lpo.evaluation.grading import Grading
from ib_lpo.evaluation.record import Record
from ib_lpo.evaluation.responses import require_handles, responses, served
from ib_lpo.evaluation.results import shown, write_results
from ib_lpo.evaluation.summary import Summary, summarise
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.prior import build_prior
from ib_lpo.latent.store import has_maps
from ib_lpo.learner.restore import require_checkpoint
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer, text_decoder
from ib_lpo.policy.stop_tokens import describe_stop_tokens, stop_tokens
from ib_lpo.policy.weights import check_weights
from ib_lpo.progress import say
from ib_lpo.rollout.limits import check_context
from ib_lpo.run_lock import locked
from ib_lpo.scoring.answer_classes import comparing
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.serving import serving


def evaluate(manifest: Manifest, *, resume: bool = False) -> list[Summary]:
    """Sample, grade, write the results and print them. Raises UserError, before a model is loaded, for what does not fit."""
    if not manifest.evaluation.benchmarks:
        raise UserError("evaluation.benchmarks={}: there is nothing to evaluate on; add one, as configs/eval/math.yaml does")
    as_served = served(manifest)
    _check_model(as_served)
    tokenizer = load_tokenizer(manifest.model)
    say(describe_stop_tokens(stop_tokens(manifest.model, manifest.rollout.stop_tokens, tokenizer), tokenizer))
    benchmarks = load_benchmarks(manifest, tokenizer)
    require_handles(as_served, benchmarks)
    verifier = Verifier(manifest.verifier)
    try:
        require_golds(benchmarks, verifier.check_gold(golds_of(benchmarks)), manifest)
        check_weights(manifest.model)
        with comparing(manifest.verifier, verifier.grade) as compare:
            grading = Grading(as_served, text_decoder(tokenizer), verifier.grade, compare)
            with locked(manifest.evaluation_dir):
                open_directory(manifest, weights_of(as_served), resume=resume)
                summaries = _run(as_served, [Record(manifest.evaluation_dir, benchmark) for benchmark in benchmarks], grading)
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
        require_checkpoint(manifest.evaluation.checkpoint, manifest)
    if manifest.latent.kind != "none":
        build_prior(manifest)
        has_maps(manifest, MapShape.of(config, manifest.latent))


def _run(manifest: Manifest, records: list[Record], grading: Grading) -> list[Summary]:
    """Sample what is not finished, and write results after every benchmark; starts engines only if something is left."""
    config, questions = manifest.evaluation, sum(len(record.benchmark.questions) for record in records)
    what, finished = config.checkpoint or manifest.model.path, sum(len(record.done) for record in records)
    say(f"evaluation {manifest.name} of {what}: {len(records)} benchmarks, {questions} questions, {finished} of them finished already")
    summaries: dict[str, Summary] = {}
    if finished < questions:
        with serving(manifest, engines=manifest.rollout.engines, checkpoint=config.checkpoint) as engines, _bar() as bar:
            for record in records:
                task = bar.add_task(record.benchmark.name, total=len(record.benchmark.questions), completed=len(record.done))
                for question, generations in responses(manifest, record.benchmark, record.left, engines):
                    record.add(grading.outcome(question, generations))
                    bar.update(task, advance=1)
                _summarise(manifest, records, summaries)
    return _summarise(manifest, records, summaries)


def _summarise(manifest: Manifest, records: list[Record], known: dict[str, Summary]) -> list[Summary]:
    """Of the complete benchmarks, each once: `known` keeps them; written as well."""
    resamples, seed = manifest.evaluation.resamples, manifest.seed
    complete = {record.benchmark.name: record for record in records if not record.left}
    for name, record in complete.items():
        if name not in known:
            known[name] = summarise(record.benchmark, record.outcomes(), resamples=resamples, seed=seed)
    found = [known[name] for name in complete]
    write_results(manifest.evaluation_dir, manifest, found)
    return found


def _bar() -> Progress:
    """Shown on a terminal alone."""
    console = get_console()
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
