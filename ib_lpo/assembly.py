"""Every running part of a run, started in parallel and stopped together."""

import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import PretrainedConfig

from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.data.gold import gold_answers, without_bad_answers
from ib_lpo.data.questions import QuestionSets, load_sets
from ib_lpo.data.schedule import batch_indices
from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import Benchmark, golds_of, load_benchmarks, require_golds, without_benchmarks
from ib_lpo.evaluation.embedder import embedder
from ib_lpo.fleet.base import Fleet, successor
from ib_lpo.fleet.kept import Kept
from ib_lpo.fleet.loop import EventLoop, Limit
from ib_lpo.fleet.placement import check_fit, open_fleet, resolve_device
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.sampler import LatentSampler
from ib_lpo.latent.store import has_maps
from ib_lpo.learner.group import LearnerGroup
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer, text_decoder
from ib_lpo.policy.stop_tokens import describe_stop_tokens, end_tokens, markers, stop_tokens
from ib_lpo.policy.weights import check_weights
from ib_lpo.progress import say
from ib_lpo.rollout.engines import Engines
from ib_lpo.rollout.limits import check_context, context_tokens
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.estimators import ESTIMATORS, Need
from ib_lpo.scoring.grades import Grade
from ib_lpo.scoring.passes import longest_pass
from ib_lpo.scoring.rewards.find import locate
from ib_lpo.scoring.scorer import IBScorer
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Question
from ib_lpo.weights.publisher import Publisher
from ib_lpo.weights.staging import check_staging


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The parts, as the training loop uses them."""

    manifest: Manifest
    device: str  # "cpu" or "cuda"
    decode: Callable[[Sequence[int]], str]  # token ids to text
    markers: frozenset[int]  # tokens that belong at the end of a response
    sets: QuestionSets
    benchmarks: list[Benchmark]  # of evaluation during training; empty without any
    loop: EventLoop
    learner: LearnerGroup
    engines: Engines
    scheduler: BranchScheduler
    publisher: Publisher
    verifier: Kept
    scorers: list[Kept]  # empty: nothing is asked of a scoring model
    kept: list[Kept]  # all services

    def grade(self, items: list[tuple[str, str]]) -> list[Grade]:
        """Grades of (response, gold answer) pairs."""
        return self.loop.gather([self.verifier.call("grade", items)], "grading")[0]

    def metrics(self) -> dict[str, float]:
        """Of the machinery: verifier, engines, restarts, memory of the driver."""
        verifier = self.loop.gather([self.verifier.call("stats")], "the verifier's counts")[0]
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e9
        restarts = float(sum(kept.restarts for kept in self.kept))
        return verifier | self.engines.metrics() | {"fleet/service_restarts": restarts, "memory/driver_gb": memory}

    def questions(self, batch: int) -> list[Question]:
        """The training questions of a batch (counted from 0 over the whole run): a pure function of manifest and batch."""
        data, train = self.manifest.data, self.sets.train
        per_batch = data.questions_per_step
        chosen = batch_indices(batch, questions=len(train), per_batch=per_batch, seed=self.manifest.seed, shuffle=data.shuffle)
        return [train[i] for i in chosen]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a run starts from, found to fit before anything is started or any directory is touched."""

    manifest: Manifest
    decode: Decode
    markers: frozenset[int]
    endings: str  # what responses end at, for the start
    sets: QuestionSets
    benchmarks: list[Benchmark]


def check(manifest: Manifest) -> Checked:
    """Load the data, judge its gold answers, and look at the model. Raises UserError for what the user can mend."""
    config = load_config(manifest.model)
    _check_model(manifest, config)
    locate(manifest.verifier.reward)
    tokenizer = load_tokenizer(manifest.model)
    ends = stop_tokens(manifest.model, manifest.rollout.stop_tokens, tokenizer)
    known = markers([*ends, *end_tokens(manifest.model, tokenizer)], tokenizer)
    sets = load_sets(manifest.data, tokenizer, max_prompt_tokens=manifest.rollout.max_prompt_tokens)
    _check_diversity(manifest)
    benchmarks = load_benchmarks(manifest, tokenizer) if manifest.evaluation.every else []
    sets = without_benchmarks(sets, benchmarks, manifest)
    _check_scoring(manifest, sets, config)
    judged = _judged(manifest, sets, benchmarks)
    _check_weights(manifest)
    found = {"decode": text_decoder(tokenizer), "markers": known, "endings": describe_stop_tokens(ends, tokenizer)}
    return Checked(manifest=manifest, **found, sets=judged, benchmarks=benchmarks)


@contextmanager
def reserve(manifest: Manifest) -> Iterator[Fleet]:
    """The machines of a run, without any worker yet. Raises UserError when they cannot hold them, or rank 0 not the weights it sends."""
    fleet = open_fleet(manifest.cluster, manifest.run_dir / "logs")
    try:
        device = resolve_device(manifest.cluster, fleet)
        check_fit(manifest, device, fleet)
        check_staging(manifest, device)
        yield fleet
    finally:
        fleet.shutdown()


@contextmanager
def assemble(checked: Checked, fleet: Fleet) -> Iterator[Assembly]:
    """Start everything; stop everything on the way out, however that comes. Raises UserError for what the user can mend."""
    manifest = checked.manifest
    try:
        device = resolve_device(manifest.cluster, fleet)
        say(_announcement(manifest, checked.sets, checked.benchmarks, device))
        say(checked.endings)
        found = _start(manifest, fleet, device, checked.decode)
        read = {"decode": checked.decode, "markers": checked.markers, "sets": checked.sets, "benchmarks": checked.benchmarks}
        yield Assembly(manifest=manifest, device=device, **read, **found)
    finally:
        fleet.shutdown()


def _judged(manifest: Manifest, sets: QuestionSets, benchmarks: list[Benchmark]) -> QuestionSets:
    """The questions whose gold answers can be judged against. Raises UserError for others, unless they are to be dropped."""
    with closing(Verifier(manifest.verifier)) as verifier:
        bad, bad_of_benchmarks = verifier.check_gold(gold_answers(sets)), verifier.check_gold(golds_of(benchmarks))
    require_golds(benchmarks, bad_of_benchmarks, manifest)
    judged = without_bad_answers(sets, bad, manifest.data)
    if judged.unjudgeable:
        say(
            f"data.bad_answers=drop: {judged.unjudgeable} questions left out, as their gold answers cannot be judged against; "
            f"{len(judged.train)} training questions, {len(judged.held_out)} held out are left"
        )
    return judged


def _check_model(manifest: Manifest, config: PretrainedConfig) -> None:
    """Raise UserError for a model, or a trained latent, that is missing or that the manifest does not fit."""
    latent = manifest.latent
    check_context(manifest, config)
    if latent.kind == "none":
        return
    trained = has_maps(manifest, MapShape.of(config, latent))
    if latent.offpolicy == "condition" and not trained:
        raise UserError(
            f"latent.weights={str(latent.weights)!r}: holds no maps of an injection, which latent.offpolicy=condition trains on; fit them "
            "with latent_fit.objective=lm, or use latent.offpolicy=truncated_is"
        )


def _check_weights(manifest: Manifest) -> None:
    """Raise UserError for weights of the policy (the KL term's reference, too), or of a scorer's own model, that are not whole."""
    check_weights(manifest.model)
    other = manifest.ib.reference_model
    if manifest.runs_scorer and other is not None:
        check_weights(manifest.model.model_copy(update={"path": str(other), "revision": None}), "ib.reference_model")


def _check_diversity(manifest: Manifest) -> None:
    """Load what embeds held-out samples, or say which measures are left out. Raises UserError."""
    if manifest.held_out.diversity and embedder(manifest) is None:
        say("held_out.diversity: embedding distance and Vendi score are left out; they need evaluation.embedding")


def _check_scoring(manifest: Manifest, sets: QuestionSets, config: PretrainedConfig) -> None:
    """Raise UserError for what the scoring model could not read, or only beyond its context."""
    if not manifest.runs_scorer:
        return
    if Need.OWN_ALONE in ESTIMATORS[manifest.ib.estimator].needs and not sets.train[0].empty_prompt_ids:
        raise UserError(
            f"data.template={manifest.data.template!r}: an empty question gives an empty prompt, which ib.estimator="
            f"{manifest.ib.estimator} needs; add some text"
        )
    response, context = manifest.rollout.max_response_tokens, context_tokens(manifest, config)
    longest = max(sets.train, key=lambda question: longest_pass(question, response))
    if longest_pass(longest, response) > context:
        raise UserError(
            f"question {longest.id}: scored with its gold answer it may take {longest_pass(longest, response)} tokens, the context of "
            f"{manifest.model.path} has {context}; lower rollout.max_response_tokens"
        )


def _announcement(manifest: Manifest, sets: QuestionSets, benchmarks: list[Benchmark], device: str) -> str:
    scorers = f", {manifest.scorers} scorers ({manifest.ib.scorer})" if manifest.scorers else ""
    kept_out = "held out or in a benchmark" if benchmarks else "held out"
    left_out = f" ({sets.overlap} left out because they are {kept_out})" if sets.overlap else ""
    evaluated = f", {sum(len(one.questions) for one in benchmarks)} in {len(benchmarks)} benchmarks" if benchmarks else ""
    return (
        f"starting on {device} ({manifest.cluster.mode}): {manifest.rollout.engines} rollout engines, {manifest.learner.ranks} learner "
        f"ranks{scorers}; {len(sets.train)} training questions{left_out}, {len(sets.held_out)} held out{evaluated}."
    )


def _start(manifest: Manifest, fleet: Fleet, device: str, decode: Decode) -> dict:
    """Spawn all workers, then wait for them: their start-up overlaps."""
    c, gpus = manifest.cluster, float(device == "cuda")
    loop, limit = EventLoop(fleet, c.call_deadline_s), Limit(c.start_deadline_s, "cluster.start_deadline_s")

    def service(cls: type, name: str, *args: object) -> Kept:
        return Kept(lambda again: fleet.spawn(cls, *args, name=successor(name, again), cpus=c.service_cpus), most=c.most_restarts)

    def scorer(number: int) -> Kept:
        name, where = f"scorer-{number}", {"cpus": c.scorer_cpus, "gpus": gpus * c.scorer_gpus}
        return Kept(
            lambda again: fleet.spawn(IBScorer, manifest, device, successor(name, again), name=successor(name, again), **where),
            publisher.prepare if manifest.ib.scorer == "policy" else None,
            most=c.most_restarts,
        )

    verifier = service(Verifier, "verifier", manifest.verifier)
    sampler = service(LatentSampler, "latent-sampler", manifest)
    scheduler = BranchScheduler(manifest, loop, sampler, verifier, decode)
    engines = Engines(manifest, device, loop, scheduler.on_generations)
    learner = LearnerGroup(loop, manifest, device)
    publisher = Publisher(manifest, loop, learner, engines)
    scheduler.serve_on(engines, publisher.again)
    scorers = [scorer(number) for number in range(manifest.scorers)]
    scheduler.read_roots_with(scorers, learner.require_alive)
    publisher.follow(scorers if manifest.ib.scorer == "policy" else [])
    learner.start()
    loop.gather([worker.call("ready") for worker in (verifier, sampler, *scorers)], "the start of the services", limit)
    loop.until(lambda: engines.started, "the start of the rollout engines", limit)
    parts = {"loop": loop, "learner": learner, "scheduler": scheduler, "engines": engines, "publisher": publisher}
    return parts | {"verifier": verifier, "scorers": scorers, "kept": [verifier, sampler, *scorers]}
