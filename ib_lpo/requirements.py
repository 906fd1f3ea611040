"""What the sections of a manifest require of one another, checked before anything starts. Pure: no file, no torch.

Each requirement is (holds, complaint); a complaint is one line that names key, value and fix.
"""

from typing import TYPE_CHECKING

from ib_lpo.rollout.config import RESERVED_ROWS
from ib_lpo.scoring.estimators import ESTIMATORS, Need

if TYPE_CHECKING:
    from ib_lpo.manifest import Manifest

Requirement = tuple[bool, str]


def problems(manifest: "Manifest") -> list[str]:
    """The complaints of all requirements that do not hold."""
    checks = (*_of_held_out(manifest), *_of_evaluation(manifest))
    rollouts = (*_of_branching(manifest), *_of_rollouts(manifest), *_of_latents(manifest))
    found = (*_of_questions(manifest), *_of_scoring(manifest), *rollouts, *_of_the_learner(manifest), *checks)
    return [complaint for holds, complaint in found if not holds]


def _of_questions(m: "Manifest") -> list[Requirement]:
    return [
        (
            "{q}" in m.data.template,
            f"data.template={m.data.template!r}: has no {{q}}, so the question would be lost; add it",
        ),
        (
            m.verifier.thinking == "skipped" or m.verifier.reward == "math",
            f"verifier.thinking={m.verifier.thinking}: verifier.reward={m.verifier.reward} reads responses as it likes; set "
            "verifier.thinking=skipped, or verifier.reward=math",
        ),
        (
            not m.data.chat_template_kwargs or m.data.chat or any(one.chat for one in m.evaluation.benchmarks.values()),
            f"data.chat_template_kwargs={m.data.chat_template_kwargs}: data.chat=false uses no chat template; remove one of them",
        ),
        *(
            (
                source is None or source.answer_column is not None or m.verifier.reward != "math",
                f"{key}.answer_column=null: verifier.reward=math compares with a gold answer; name the column, or set verifier.reward",
            )
            for key, source in (("data.train", m.data.train), ("data.held_out", m.data.held_out))
        ),
    ]


def _of_scoring(m: "Manifest") -> list[Requirement]:
    ib = m.ib
    estimator = ESTIMATORS.get(ib.estimator)
    needs = frozenset() if estimator is None else estimator.needs
    others = ", ".join(name for name, other in ESTIMATORS.items() if not other.needs)
    return [
        (
            not needs or ib.scorer != "none",
            f"ib.scorer=none: ib.estimator={ib.estimator} needs a scoring model; set ib.scorer=policy, or ib.estimator to {others} or none",
        ),
        (
            estimator is None or not estimator.needs_gold or m.data.train.answer_column is not None,
            f"data.train.answer_column=null: ib.estimator={ib.estimator} needs gold answers; name the column, or set ib.estimator to "
            f"{others} or none",
        ),
        (
            Need.OWN_GIVEN_ANSWER not in needs or "{a}" in m.data.answer_hint,
            f"data.answer_hint={m.data.answer_hint!r}: has no {{a}}, so ib.estimator={ib.estimator} would not be shown the answer; add it",
        ),
        (
            ib.self_reward not in ("reward", "both") or estimator is not None,
            f"ib.self_reward={ib.self_reward}: adds S_IB to the reward, but ib.estimator=none computes none; set an estimator",
        ),
        (
            ib.reference_model is None or ib.scorer == "reference",
            "ib.reference_model: only used with ib.scorer=reference; set that, or remove the model",
        ),
    ]


def _of_branching(m: "Manifest") -> list[Requirement]:
    b, longest = m.branching, m.rollout.max_response_tokens
    compared = m.compared_roots * b.most_branches
    of_roots = f"branching.roots={b.roots} * " if m.filter.scope == "prompt" else ""
    of_branches = f"branching.branches={b.branches}" if b.most_branches == b.branches else f"{b.most_branches} branches of a root"
    of_a_tree = [f"branching.{key}={getattr(b, key)}" for key in ("forks", "depth") if getattr(b, key) > 1]
    return [
        (
            b.mode == "chained" or b.depth == 1 or b.budget is not None,
            f"branching.budget=null: with branching.depth={b.depth} a root may grow {b.most_branches} branches; set it to the most that "
            "one root may have",
        ),
        (
            b.mode == "tree" or not of_a_tree,
            f"{' and '.join(of_a_tree)}: branching.mode=chained forks every trajectory once, branching.branches={b.branches} levels deep; "
            "leave this out, or set branching.mode=tree",
        ),
        (
            b.min_distance < longest or (b.forks_of_a_root == 1 and b.levels <= 1),
            f"branching.min_distance={b.min_distance}: no second fork fits into rollout.max_response_tokens={longest}; lower it",
        ),
        (
            m.filter.keep is None or m.filter.kind in ("top", "balance"),
            f"filter.keep={m.filter.keep}: filter.kind={m.filter.kind} keeps no fixed number; set filter.keep=null, or filter.kind=top",
        ),
        (
            m.kept_branches <= compared,
            f"filter.keep={m.filter.keep}: more than {of_roots}{of_branches}; keep at most {compared}",
        ),
        *_of_distinct_pivots(m),
        *_of_outcomes(m),
    ]


def _of_distinct_pivots(m: "Manifest") -> list[Requirement]:
    distinct, r = m.branching.pivot == "distinct" and m.branching.branches > 0, m.rollout
    return [
        (
            not distinct or (r.top_p == 1.0 and r.top_k is None),
            f"branching.pivot=distinct: excludes tokens from the whole vocabulary, and rollout.top_p={r.top_p}, rollout.top_k={r.top_k} "
            "cut it; set top_p=1.0 and top_k=null, or branching.pivot=resample",
        ),
    ]


def _of_outcomes(m: "Manifest") -> list[Requirement]:
    """Of forks that depend on how roots ended."""
    b, follows = m.branching, m.runs_scorer and m.ib.scorer == "policy"
    levels = "branching.mode=chained" if b.mode == "chained" else f"branching.depth={b.depth}"
    return [
        (
            b.allocate == "uniform" or (b.mode == "tree" and b.depth == 1),
            f"{levels}: branching.allocate=by_outcome grades roots alone, so only they may fork; set branching.mode=tree and "
            "branching.depth=1, or branching.allocate=uniform",
        ),
        (
            b.allocate == "uniform" or b.budget is None or b.levels > 1,
            f"branching.budget={b.budget}: branching.allocate=by_outcome bounds the branches of a root by branching.most_forks; leave the "
            "budget out",
        ),
        (
            b.select != "open_entropy" or b.mode == "tree",
            "branching.select=open_entropy: branching.mode=chained forks one root and then its branches, whose outcome is not known by "
            "then; use branching.select=top_entropy, or branching.mode=tree",
        ),
        (
            b.select != "open_entropy" or m.max_staleness == 0 or not follows,
            f"max_staleness={m.max_staleness}: branching.select=open_entropy reads roots at any time, and scorers of ib.scorer=policy take "
            "new weights meanwhile; set ib.scorer=reference, or max_staleness=0",
        ),
    ]


def _of_rollouts(m: "Manifest") -> list[Requirement]:
    r, context = m.rollout, m.model.max_context
    return [
        (
            context is None or r.max_prompt_tokens + r.max_response_tokens <= context,
            f"rollout.max_prompt_tokens={r.max_prompt_tokens} + rollout.max_response_tokens={r.max_response_tokens} exceed "
            f"model.max_context={context}; lower one of them",
        ),
        (
            r.max_running <= r.max_batched_tokens,
            f"rollout.max_running={r.max_running}: every running sequence needs a token of rollout.max_batched_tokens="
            f"{r.max_batched_tokens}; lower it, or raise that",
        ),
        (
            m.cluster.mode != "local" or (r.engines == m.learner.ranks == m.ib.replicas == 1),
            f"cluster.mode=local: one process holds rollout.engines={r.engines}, learner.ranks={m.learner.ranks} and "
            f"ib.replicas={m.ib.replicas}; set them to 1, or cluster.mode=ray",
        ),
    ]


def _of_latents(m: "Manifest") -> list[Requirement]:
    latent, slots, handles = m.latent, m.latent.psa.k_slots, (RESERVED_ROWS - 1) ** m.latent.psa.k_slots
    per_batch = -(-m.data.questions_per_step // m.rollout.engines) * m.branching.roots * m.branching.most_branches
    latents = per_batch * m.data.batches_per_step
    off = latent.kind == "none"
    return [
        (
            latent.kind != "cvae" or latent.weights is not None,
            "latent.kind=cvae: needs latent.weights, a directory that `ib-lpo latent fit` wrote",
        ),
        (
            latent.kind != "normal" or latent.untrained or latent.weights is not None,
            "latent.kind=normal: z acts through random, untrained maps and is mere noise; set latent.kind=cvae and "
            f"latent.weights=runs/{m.name}-latent and fit it (`ib-lpo latent fit MANIFEST`), or latent.kind=none, or latent.untrained=true "
            "for a control",
        ),
        (
            latent.kind != "normal" or latent.weights is None,
            f"latent.weights={str(latent.weights)!r}: trained maps expect the z of the prior they were trained with, not N(0, I); set "
            "latent.kind=cvae, or latent.weights=null",
        ),
        (
            latent.kind != "cvae" or latent.encoder.kind != "sentence" or latent.encoder.path is not None,
            "latent.encoder.path=null: latent.encoder.kind=sentence needs the hub id or directory of a sentence encoder; "
            "`python tools/fetch_minilm.py` fetches one, or set latent.encoder.kind=embedding",
        ),
        (
            off or latents <= handles,
            f"latent.psa.k_slots={slots}: one engine gets {latents} latents in a step, and {slots} slots tell {handles} apart; "
            "use more slots",
        ),
        (
            latent.injection == "psa" or latent.psa.layer_gates is None,
            f"latent.psa.layer_gates={list(latent.psa.layer_gates or ())}: latent.injection={latent.injection} injects no layer; set it to "
            "null, or latent.injection=psa",
        ),
        (
            m.latent_fit.min_active_units <= latent.dim,
            f"latent_fit.min_active_units={m.latent_fit.min_active_units}: more than latent.dim={latent.dim} dimensions are never active; "
            "lower it",
        ),
        *_of_draws(m),
    ]


def _of_draws(m: "Manifest") -> list[Requirement]:
    latent, budget, of_a_fork = m.latent, m.branching.budget, m.branching.per_fork
    off, condition = latent.kind == "none", latent.offpolicy == "condition"
    return [
        (
            off or latent.draw == "iid" or of_a_fork != 1,
            f"latent.draw={latent.draw}: spreads the latents of a fork, and every fork has one branch; use latent.draw=iid",
        ),
        (
            off or latent.draw == "iid" or budget is None or budget >= of_a_fork,
            f"branching.budget={budget}: no fork gets its {of_a_fork} branches, whose latents latent.draw={latent.draw} spreads; "
            "raise it, or use latent.draw=iid",
        ),
        (
            not condition or not off,
            "latent.offpolicy=condition: there is no z to condition on with latent.kind=none; use latent.offpolicy=truncated_is",
        ),
        (
            not condition or latent.kind != "normal" or latent.weights is not None,
            "latent.offpolicy=condition: it trains the maps of z, and random ones would be noise to train on; set latent.weights and "
            "latent.kind=cvae, or use latent.offpolicy=truncated_is",
        ),
    ]


def _of_the_learner(m: "Manifest") -> list[Requirement]:
    r, budget = m.rollout, m.learner.max_tokens_per_micro_batch
    longest = r.max_prompt_tokens + r.max_response_tokens
    cut = [f"rollout.top_p={r.top_p}"] * (r.top_p != 1.0) + [f"rollout.top_k={r.top_k}"] * (r.top_k is not None)
    latent_ratio = m.latent.kind != "none" and m.latent.offpolicy in ("truncated_is", "sequence_is")
    ratios = ["learner.loss.engine_is=true"] * m.learner.loss.engine_is + [f"latent.offpolicy={m.latent.offpolicy}"] * latent_ratio
    return [
        (
            not (cut and ratios),
            f"{' and '.join(cut)}: sampling from a part of the vocabulary biases the importance ratio of {' and '.join(ratios)}; "
            "set rollout.top_p=1 and rollout.top_k=null, or turn the ratio off (engine_is=false, latent.offpolicy=none)",
        ),
        (
            budget >= longest,
            f"learner.max_tokens_per_micro_batch={budget}: less than one trajectory, rollout.max_prompt_tokens={r.max_prompt_tokens} + "
            f"rollout.max_response_tokens={r.max_response_tokens}; raise it to at least {longest}",
        ),
        (
            m.max_staleness == 0 or m.learner.loss.engine_is,
            f"max_staleness={m.max_staleness}: tokens of older policies need their importance weights; set learner.loss.engine_is=true, or "
            "max_staleness=0",
        ),
        (
            m.max_staleness == 0 or m.cluster.mode != "local",
            f"max_staleness={m.max_staleness}: cluster.mode=local makes one call at a time, so nothing overlaps; set cluster.mode=ray, or "
            "max_staleness=0",
        ),
        (
            m.weights.deadline_s < m.cluster.suspect_after_s,
            f"weights.deadline_s={m.weights.deadline_s:g}: an engine that waits so long for weights is suspect after "
            f"cluster.suspect_after_s={m.cluster.suspect_after_s:g}, and never gets them; lower it below that",
        ),
        (
            m.budget.generated_tokens is None or m.learner.lr_schedule == "constant",
            f"budget.generated_tokens={m.budget.generated_tokens}: at which step it ends training is not known before, so "
            f"learner.lr_schedule={m.learner.lr_schedule} has no end to decay to; set learner.lr_schedule=constant, or "
            "budget.generated_tokens=null",
        ),
        *_of_the_update(m),
    ]


def _of_the_update(m: "Manifest") -> list[Requirement]:
    learner, buffer = m.learner, m.learner.advantage.overlong_buffer
    loss, widest = learner.loss, max(learner.loss.clip_low, learner.loss.clip_high)
    return [
        (
            loss.kind != "gspo" or widest < 0.05,
            f"learner.loss.clip_low={loss.clip_low}, learner.loss.clip_high={loss.clip_high}: the ratio of whole responses of "
            "learner.loss.kind=gspo never gets there; use 3e-4 and 4e-4",
        ),
        (
            loss.kind != "kl_cov" or learner.mini_batches * learner.epochs > 1,
            "learner.loss.kind=kl_cov: its penalty is 0 in the first optimiser step of a training step, and there is no other; "
            "set learner.mini_batches=2 or more",
        ),
        (
            not learner.advantage.path_weights or learner.advantage.kind == "vine",
            f"learner.advantage.path_weights=true: learner.advantage.kind={learner.advantage.kind} has no segments to weigh; set "
            "learner.advantage.kind=vine, or path_weights=false",
        ),
        (
            buffer < m.rollout.max_response_tokens,
            f"learner.advantage.overlong_buffer={buffer}: every response would be overlong; lower it below rollout.max_response_tokens="
            f"{m.rollout.max_response_tokens}",
        ),
        (
            learner.warmup_steps <= m.steps,
            f"learner.warmup_steps={learner.warmup_steps}: the run ends after steps={m.steps}, before learner.lr is reached; lower it",
        ),
    ]


def _of_held_out(m: "Manifest") -> list[Requirement]:
    h, least = m.held_out, m.evaluation.diversity_samples
    most, highest = max(h.samples, h.samples_at_end or 0), max(h.ks, default=0)
    return [
        (
            h.samples_at_end is None or h.samples_at_end >= h.samples,
            f"held_out.samples_at_end={h.samples_at_end}: fewer than held_out.samples={h.samples} of the checks between; "
            "raise it, or lower that",
        ),
        (
            highest <= most,
            f"held_out.ks={list(h.ks)}: k={highest} is more than the {most} samples of any check; lower it, or raise "
            "held_out.samples_at_end",
        ),
        (
            not h.diversity or most >= least,
            f"held_out.diversity=true: it compares evaluation.diversity_samples={least} samples of a question, and no check "
            f"has more than {most}; raise held_out.samples_at_end, or lower evaluation.diversity_samples",
        ),
    ]


def _of_evaluation(m: "Manifest") -> list[Requirement]:
    e, longest = m.evaluation, m.rollout.max_response_tokens
    return [
        (
            e.every == 0 or bool(e.benchmarks),
            f"evaluation.every={e.every}: there is no benchmark in evaluation.benchmarks; add one, or set it to 0",
        ),
        (
            e.max_response_tokens is None or e.max_response_tokens <= longest,
            f"evaluation.max_response_tokens={e.max_response_tokens}: more than rollout.max_response_tokens={longest}, for which engines "
            "are built; lower it, or raise that",
        ),
        (
            e.latents == "none" or m.latent.kind != "none",
            "evaluation.latents=prompt: there is no z with latent.kind=none; set evaluation.latents=none, or a latent",
        ),
        (
            e.latents == "none" or m.latent.draw == "iid",
            f"latent.draw={m.latent.draw}: with evaluation.latents=prompt samples would depend on one another, and pass@k and maj@k be "
            "biased; use latent.draw=iid",
        ),
        (
            e.latents == "none" or e.every == 0,
            f"evaluation.latents=prompt: evaluation during training (evaluation.every={e.every}) is of the policy without z; use "
            "`ib-lpo eval` for it, or set one of them to none or 0",
        ),
        *(requirement for name in e.benchmarks for requirement in _of_a_benchmark(m, name)),
    ]


def _of_a_benchmark(m: "Manifest", name: str) -> list[Requirement]:
    e, key = m.evaluation, f"evaluation.benchmarks.{name}"
    of_k, of_n = (f"{key}.{k}" if getattr(e.benchmarks[name], k) is not None else f"evaluation.{k}" for k in ("ks", "samples"))
    one, n, highest = e.benchmarks[name], e.samples_of(name), max(e.ks_of(name), default=0)
    return [
        (
            highest <= n,
            f"{key}: k={highest} of pass@k and maj@k is more than its n={n} samples; lower {of_k}, or raise {of_n}",
        ),
        (
            e.temperature > 0 or n == 1,
            f"evaluation.temperature=0: the {n} samples of {key} would all be the same; set {key}.samples=1, or a temperature",
        ),
        (
            one.template is None or "{q}" in one.template,
            f"{key}.template={one.template!r}: has no {{q}}, so the question would be lost; add it",
        ),
        (
            one.source.answer_column is not None or m.verifier.reward != "math",
            f"{key}.source.answer_column=null: verifier.reward=math compares with a gold answer; name the column, or set verifier.reward",
        ),
    ]
