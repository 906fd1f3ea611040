"""Every running part of a run, started in parallel and stopped together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from transformers import PretrainedConfig

from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.data.gold import gold_answers, without_bad_answers
from ib_lpo.data.questions import QuestionSets, load_sets
from ib_lpo.data.schedule import batch_indices
from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import Benchmark, golds_of, load_benchmarks, require_golds, without_benchmarks
from ib_lpo.fleet.base import Fleet, Worker
from ib_lpo.fleet.placement import check_fit, open_fleet, resolve_device
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.sampler import LatentSampler
from ib_lpo.latent.store import has_maps
from ib_lpo.learner.group import LearnerGroup
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer, text_decoder
from ib_lpo.progress import say
from ib_lpo.rollout.engine import RolloutEngine, engine_env
from ib_lpo.rollout.limits import check_context, context_tokens
from ib_lpo.scoring.estimators import ESTIMATORS, Need
from ib_lpo.scoring.grades import Grade
from ib_lpo.scoring.passes import longest_pass
from ib_lpo.scoring.rewards.find import locate
from ib_lpo.scoring.scorer import IBScorer
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Question


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The parts, as the training loop uses them."""

    manifest: Manifest
    decode: Callable[[Sequence[int]], str]  # token ids to text
    sets: QuestionSets
    benchmarks: list[Benchmark]  # of evaluation during training; empty without any
    learner: LearnerGroup
    scheduler: Worker
    verifier: Worker
    scorers: list[Worker]  # empty: nothing is asked of a scoring model
    engines: list[Worker]

    @property
    def receivers(self) -> list[Worker]:
        """Who holds a copy of the policy and must be sent every version."""
        return [*self.engines, *(self.scorers if self.manifest.ib.scorer == "policy" else [])]

    def grade(self, items: list[tuple[str, str]]) -> list[Grade]:
        """Grades of (response, gold answer) pairs."""
        return self.verifier.call("grade", items).result()

    def questions(self, batch: int) -> list[Question]:
        """The training questions of a batch (counted from 0 over the whole run): a pure function of manifest and batch."""
        data, train = self.manifest.data, self.sets.train
        per_batch = data.questions_per_step
        chosen = batch_indices(batch, questions=len(train), per_batch=per_batch, seed=self.manifest.seed, shuffle=data.shuffle)
        return [train[i] for i in chosen]


@contextmanager
def assemble(manifest: Manifest) -> Iterator[Assembly]:
    """Start everything; stop everything on the way out, however that comes. Raises UserError for what the user can mend."""
    config = load_config(manifest.model)
    _check_model(manifest, config)
    locate(manifest.verifier.reward)
    tokenizer = load_tokenizer(manifest.model)
    sets = load_sets(manifest.data, tokenizer, max_prompt_tokens=manifest.rollout.max_prompt_tokens)
    benchmarks = load_benchmarks(manifest, tokenizer) if manifest.evaluation.every else []
    sets = without_benchmarks(sets, benchmarks, manifest)
    _check_scoring(manifest, sets, config)
    fleet = open_fleet(manifest.cluster)
    try:
        device = resolve_device(manifest.cluster, fleet)
        check_fit(manifest, device, fleet)
        say(_announcement(manifest, sets, benchmarks, device))
        parts = _start(manifest, fleet, device, sets, benchmarks)
        yield Assembly(manifest=manifest, decode=text_decoder(tokenizer), benchmarks=benchmarks, **parts)
    finally:
        fleet.shutdown()


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
    code = " The model runs code of its own (model.trust_remote_code)." if manifest.model.trust_remote_code else ""
    kept_out = "held out or in a benchmark" if benchmarks else "held out"
    left_out = f" ({sets.overlap} left out because they are {kept_out})" if sets.overlap else ""
    evaluated = f", {sum(len(one.questions) for one in benchmarks)} in {len(benchmarks)} benchmarks" if benchmarks else ""
    return (
        f"starting on {device} ({manifest.cluster.mode}): {manifest.rollout.engines} rollout engines, {manifest.learner.ranks} learner "
        f"ranks{scorers}; {len(sets.train)} training questions{left_out}, {len(sets.held_out)} held out{evaluated}.{code}"
    )


def _start(manifest: Manifest, fleet: Fleet, device: str, sets: QuestionSets, benchmarks: list[Benchmark]) -> dict:
    """Spawn all workers, then wait for them: their start-up overlaps. The gold answers are checked first of all."""
    c, gpus = manifest.cluster, float(device == "cuda")
    env = engine_env(device)
    verifier = fleet.spawn(Verifier, manifest.verifier, name="verifier", cpus=c.service_cpus)
    grading, checked = verifier.call("ready"), verifier.call("check_gold", gold_answers(sets))
    of_benchmarks = verifier.call("check_gold", golds_of(benchmarks))
    engines = [
        fleet.spawn(RolloutEngine, manifest, i, device, name=f"engine-{i}", cpus=c.engine_cpus, gpus=gpus * c.engine_gpus, env=env)
        for i in range(manifest.rollout.engines)
    ]
    scorers = [
        fleet.spawn(IBScorer, manifest, device, f"scorer-{i}", name=f"scorer-{i}", cpus=c.scorer_cpus, gpus=gpus * c.scorer_gpus)
        for i in range(manifest.scorers)
    ]
    sampler = fleet.spawn(LatentSampler, manifest, name="latent-sampler", cpus=c.service_cpus)
    scheduler = fleet.spawn(BranchScheduler, manifest, fleet, engines, sampler, name="scheduler", cpus=c.service_cpus)
    learner = LearnerGroup(fleet, manifest, device)
    ready = [worker.call("ready") for worker in (*engines, *scorers, sampler, scheduler)]
    grading.result(c.start_deadline_s)
    require_golds(benchmarks, of_benchmarks.result(c.start_deadline_s), manifest)
    judged = without_bad_answers(sets, checked.result(c.start_deadline_s), manifest.data)
    if judged.unjudgeable:
        say(
            f"data.bad_answers=drop: {judged.unjudgeable} questions left out, as their gold answers cannot be judged against; "
            f"{len(judged.train)} training questions, {len(judged.held_out)} held out are left"
        )
    for pending in ready:
        pending.result(c.start_deadline_s)
    return {"sets": judged, "learner": learner, "scheduler": scheduler, "verifier": verifier, "scorers": scorers, "engines": engines}
