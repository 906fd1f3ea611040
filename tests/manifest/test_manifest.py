"""Manifests: merging, overriding, and errors that name key, value and fix."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.manifest import ManifestError, dump, load, load_recorded, validate

MINIMAL = {"name": "m", "steps": 3, "model": {"path": "somewhere"}}
NOISE = {"kind": "normal", "untrained": True}


def write(path, **values):
    path.write_text(yaml.safe_dump(values))
    return path


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.floats(0.1, 2), st.sampled_from(["all", 3, [0, 2]]), st.booleans())
def test_the_resolved_manifest_loads_to_an_equal_one(seed, temperature, layers, roots):
    manifest = validate(
        MINIMAL
        | {"seed": seed, "rollout": {"temperature": temperature}, "latent": {"psa": {"layers": layers}}, "filter": {"keep_roots": roots}}
    )
    assert validate(yaml.safe_load(dump(manifest))) == manifest


def test_extends_merges_mappings_and_the_nearer_file_wins(tmp_path):
    write(tmp_path / "base.yaml", **MINIMAL, rollout={"engines": 2, "temperature": 0.5})
    (tmp_path / "sub").mkdir()
    child = write(tmp_path / "sub" / "child.yaml", extends="../base.yaml", rollout={"temperature": 0.7}, steps=9)
    manifest = load(child)
    assert (manifest.rollout.engines, manifest.rollout.temperature, manifest.steps) == (2, 0.7, 9)


def test_later_parents_win(tmp_path):
    write(tmp_path / "a.yaml", **MINIMAL, seed=1)
    write(tmp_path / "b.yaml", seed=2)
    assert load(write(tmp_path / "c.yaml", extends=["a.yaml", "b.yaml"])).seed == 2


def test_overrides_are_yaml_values(tmp_path):
    path = write(tmp_path / "m.yaml", **MINIMAL)
    manifest = load(path, ["latent.psa.layers=[0, 3]", "learner.lr=1e-4", "name=other", "data.held_out={size: 5}"])
    assert manifest.latent.psa.layers == (0, 3)
    assert manifest.learner.lr == 1e-4
    assert manifest.data.held_out.size == 5


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("rollout.engins=2", r"rollout\.engins: unknown key"),
        ("rollout.engines=two", r"rollout\.engines='two': .*integer"),
        ("rollout.engines=0", r"rollout\.engines=0: .*greater than or equal to 1"),
        ("name=a/b", r"name='a/b'"),
        ("filter.keep=4", r"filter\.keep=4: more than branching\.branches=3; keep at most 3"),
        ("branching.depth=2", r"^branching\.budget=null: with branching\.depth=2 a root may grow 12 branches; set it to the most"),
        (
            "branching={mode: chained, depth: 2}",
            r"^branching\.depth=2: branching\.mode=chained forks every trajectory once, .*branches=3 levels",
        ),
        ("branching={mode: chained, forks: 2}", r"^branching\.forks=2: branching\.mode=chained .* or set branching\.mode=tree"),
        ("branching={min_distance: 4096, forks: 2}", r"min_distance=4096: no second fork fits .*max_response_tokens=4096; lower it"),
        (
            "branching={allocate: by_outcome, depth: 2, budget: 9, branches: 3}",
            r"^branching\.depth=2: branching\.allocate=by_outcome .* only they may fork; set branching\.mode=tree and branching\.depth=1",
        ),
        (
            "branching={allocate: by_outcome, mode: chained}",
            r"^branching\.mode=chained: branching\.allocate=by_outcome grades roots alone",
        ),
        (
            "branching={allocate: by_outcome, budget: 4}",
            r"^branching\.budget=4: branching\.allocate=by_outcome bounds .* by branching\.most_forks; leave the budget out",
        ),
        ("branching={select: open_entropy, mode: chained}", r"^branching\.select=open_entropy: branching\.mode=chained .*=top_entropy"),
        ("branching.min_distance=0", r"branching\.min_distance=0: .*greater than or equal to 1"),
        ("branching.select=any", r"branching\.select='any': .*'top_entropy', 'argmax', 'random' or 'open_entropy'"),
        ("model.max_context=100", r"rollout\.max_prompt_tokens=2048 \+ rollout\.max_response_tokens=4096 exceed model\.max_context=100"),
        ("rollout.max_running=9999", r"rollout\.max_running=9999: every running sequence needs a token"),
        ("latent.kind=cvae", r"latent\.kind=cvae: needs latent\.weights"),
        ("latent_fit.objective=mse", r"latent_fit\.objective='mse': .*'lm' or 'lars'"),
        ("latent_fit.beta=0", r"latent_fit\.beta=0: .*greater than 0"),
        ("latent_fit.held_out=1", r"latent_fit\.held_out=1: .*greater than or equal to 2"),
        ("latent_fit.data.colour=red", r"latent_fit\.data\.colour: unknown key"),
        ("latent_fit.lr=.inf", r"latent_fit\.lr=inf: .*finite number"),
        ("latent_fit.min_use=.nan", r"latent_fit\.min_use=nan: .*finite number"),
        ("latent.psa.layer_gates=[1, .inf]", r"latent\.psa\.layer_gates\.1=inf: .*finite number"),
        ("learner.loss.is_cap=.inf", r"is_cap=inf: .*finite number"),
        ("latent_fit.min_active_units=129", r"^latent_fit\.min_active_units=129: more than latent\.dim=128 dimensions .* lower it"),
        (
            "latent={kind: normal, untrained: true, injection: input, psa: {layer_gates: [1, 2]}}",
            r"^latent\.psa\.layer_gates=\[1\.0, 2\.0\]: latent\.injection=input .* null",
        ),
        (
            "latent.kind=normal",
            r"^latent\.kind=normal: .* random, untrained maps .* latent\.weights=runs/m-latent and fit it .* latent\.untrained=true",
        ),
        ("latent={kind: normal, weights: fitted}", r"^latent\.weights='fitted': trained maps expect .* set latent\.kind=cvae, or latent\."),
        ("latent={kind: normal, weights: w, offpolicy: condition}", r"^latent\.weights='w': trained maps expect"),
        ("cluster.mode=local", r"ib\.replicas=1; set them to 1"),
        ("rollout.top_p=0", r"rollout\.top_p=0: .*greater than 0"),
        ("rollout.top_k=0", r"rollout\.top_k=0: .*greater than or equal to 1"),
        ("max_staleness=-1", r"max_staleness=-1: .*greater than or equal to 0"),
        ("rollout.top_p=0.9", r"^rollout\.top_p=0\.9: .* biases .*engine_is=true; set rollout\.top_p=1"),
        ("rollout.top_k=50", r"rollout\.top_k=50: .* importance ratio"),
        ("latent={kind: normal, untrained: true, offpolicy: condition}", r"^latent\.offpolicy=condition: .* set latent\.weights"),
        ("learner.max_tokens_per_micro_batch=6143", r"max_tokens_per_micro_batch=6143: less than one trajectory.* at least 6144"),
        ("learner.loss.kind=ppo", r"^learner\.loss\.kind='ppo': unknown; use one of grpo, dapo, "),
        ("learner.loss.fraction=0.1", r"^learner\.loss\.fraction: learner\.loss\.kind='grpo' has no such key"),
        ("learner.loss={kind: kl_cov, fraction: 2}", r"^learner\.loss\.fraction=2: .*less than or equal to 1"),
        ("learner.loss=grpo", r"^learner\.loss='grpo': expected a mapping .* write learner\.loss\.kind="),
        ("learner.loss={kind: gspo, clip_low: 0.2, clip_high: 0.28}", r"ratio of whole responses .* never gets there; use 3e-4"),
        ("learner.loss.kind=kl_cov", r"learner\.loss\.kind=kl_cov: its penalty is 0 .* set learner\.mini_batches=2"),
        ("learner.loss.is_cap=0.5", r"is_cap=0\.5: .*greater than or equal to 1"),
        ("learner.advantage.overlong_buffer=4096", r"overlong_buffer=4096: every response would be overlong"),
        ("learner.advantage.path_weights=true", r"path_weights=true: learner\.advantage\.kind=group_mean has no segments .*kind=vine"),
        ("verifier={thinking: graded, reward: 'json:loads'}", r"verifier\.thinking=graded: .*reward=json:loads reads .*reward=math"),
        ("learner.warmup_steps=999999", r"learner\.warmup_steps=999999: the run ends"),
        ("budget.generated_tokens=0", r"budget\.generated_tokens=0: .*greater than or equal to 1"),
        ("held_out={ks: [4], samples: 2}", r"^held_out\.ks=\[4\]: k=4 is more than the 2 samples .* held_out\.samples_at_end$"),
        ("held_out={samples: 4, samples_at_end: 2}", r"^held_out\.samples_at_end=2: fewer than held_out\.samples=4"),
        ("held_out.diversity=true", r"^held_out\.diversity=true: .*diversity_samples=8 samples .* more than 1; raise"),
        ("data.batches_per_step=0", r"data\.batches_per_step=0: .*greater than or equal to 1"),
        ("data.template=hello", r"data\.template='hello': has no \{q\}"),
        ("ib.reference_model=x", r"ib\.reference_model: only used with ib\.scorer=reference"),
        ("ib.scorer=none", r"^ib\.scorer=none: ib\.estimator=pmi needs a scoring model; .* advantage_entropy or none"),
        ("ib.estimator=mpi", r"^ib\.estimator='mpi': .*'pmi', 'rate', 'answer_entropy', 'advantage_entropy' or 'none'"),
        ("ib.reward_weight=0.5", r"ib\.reward_weight=0\.5: .*less than 0\.5"),
        ("ib.replicas=0", r"ib\.replicas=0: .*greater than or equal to 1"),
        ("filter.scope=tree", r"filter\.scope='tree': .*'root' or 'prompt'"),
        ("steps.sub=1", r"steps is a single value"),
        ("steps", r"expected key\.sub=value"),
        ("steps=[", r"not valid YAML"),
    ],
)
def test_a_problem_is_one_line_with_key_value_and_fix(tmp_path, override, complaint):
    with pytest.raises(ManifestError, match=complaint) as error:
        load(write(tmp_path / "m.yaml", **MINIMAL), ["branching.pivot=resample", override])
    assert "\n" not in str(error.value)


def test_forks_by_outcome_count_with_the_most_that_a_root_may_have():
    latent = {"latent": NOISE | {"psa": {"k_slots": 1}}, "data": {"questions_per_step": 8}}
    validate(MINIMAL | latent | {"branching": {"allocate": "by_outcome", "most_forks": 5}})
    with pytest.raises(ManifestError, match="one engine gets 288 latents"):
        validate(MINIMAL | latent | {"branching": {"allocate": "by_outcome", "most_forks": 6}})
    assert validate(MINIMAL | {"branching": {"allocate": "by_outcome", "most_forks": 4}}).branching.most_branches == 12
    with pytest.raises(ManifestError, match=r"min_distance=4096: no second fork fits"):
        validate(MINIMAL | {"branching": {"allocate": "by_outcome", "min_distance": 4096}})


def test_open_forks_may_be_judged_in_overlapped_runs_by_a_frozen_scorer_or_none():
    overlapped = MINIMAL | {"branching": {"select": "open_entropy"}, "max_staleness": 1}
    with pytest.raises(
        ManifestError, match=r"^max_staleness=1: branching\.select=open_entropy reads roots at any time, .*scorer=reference"
    ):
        validate(overlapped)
    validate(overlapped | {"ib": {"scorer": "reference"}})
    validate(overlapped | {"ib": {"estimator": "none", "self_reward": "none"}})
    validate(MINIMAL | {"branching": {"select": "open_entropy", "depth": 2, "budget": 9}})


def test_a_schedule_that_decays_to_a_last_step_needs_one_that_is_known(tmp_path):
    path = write(tmp_path / "m.yaml", **MINIMAL, learner={"lr_schedule": "cosine"})
    complaint = r"^budget\.generated_tokens=9: .*lr_schedule=cosine .* set learner\.lr_schedule=constant"
    with pytest.raises(ManifestError, match=complaint) as error:
        load(path, ["budget.generated_tokens=9"])
    assert "\n" not in str(error.value)
    assert load(path).learner.lr_schedule == "cosine"
    assert load(path, ["budget.generated_tokens=9", "learner.lr_schedule=constant"]).budget.generated_tokens == 9


def test_an_estimator_without_its_gold_answer_names_the_key():
    """A reward of one's own may need none; pmi does."""
    without = MINIMAL | {
        "data": {"train": {"kind": "file", "path": "x.jsonl", "answer_column": None}},
        "verifier": {"reward": "my.module:f"},
    }
    for estimator in ("pmi", "rate", "answer_entropy"):
        with pytest.raises(ManifestError, match=rf"^data\.train\.answer_column=null: ib\.estimator={estimator} needs gold answers"):
            validate(without | {"ib": {"estimator": estimator}})
    validate(without | {"ib": {"estimator": "advantage_entropy", "scorer": "none"}})
    with pytest.raises(ManifestError, match=r"^data\.train\.answer_column=null: verifier\.reward=math compares"):
        validate(without | {"ib": {"estimator": "none"}, "verifier": {}})


def test_answer_entropy_must_be_shown_the_answer():
    shown = {"ib": {"estimator": "answer_entropy"}, "data": {"answer_hint": " Hint."}}
    with pytest.raises(ManifestError, match=r"data\.answer_hint=' Hint\.': has no \{a\}"):
        validate(MINIMAL | shown)


def test_a_self_reward_needs_a_score():
    validate(MINIMAL | {"ib": {"estimator": "none", "self_reward": "loss"}})
    with pytest.raises(ManifestError, match=r"^ib\.self_reward=both: .* set an estimator"):
        validate(MINIMAL | {"ib": {"estimator": "none", "self_reward": "both"}})


@pytest.mark.parametrize(
    ("ib", "runs"),
    [
        ({}, True),
        ({"estimator": "none"}, False),
        ({"estimator": "answer_entropy", "failures": {"points": 0}}, True),
        ({"estimator": "advantage_entropy"}, False),
        ({"estimator": "advantage_entropy", "scorer": "none"}, False),
    ],
)
def test_a_scoring_model_is_loaded_where_it_is_asked_something(ib, runs):
    assert validate(MINIMAL | {"ib": ib}).runs_scorer is runs


def test_slots_must_tell_the_latents_of_a_step_apart():
    validate(MINIMAL | {"latent": NOISE | {"psa": {"k_slots": 1}}})
    with pytest.raises(ManifestError, match=r"k_slots=1: one engine gets 384 latents in a step, and 1 slots tell 255 apart"):
        validate(MINIMAL | {"latent": NOISE | {"psa": {"k_slots": 1}}, "data": {"questions_per_step": 64}})


def test_all_forks_and_levels_share_the_slot_handles():
    latent = {"latent": NOISE | {"psa": {"k_slots": 1}}, "data": {"questions_per_step": 8}}
    validate(MINIMAL | latent | {"branching": {"depth": 3, "budget": 15}})
    validate(MINIMAL | latent | {"branching": {"mode": "chained", "branches": 15}})
    for branching, latents in (({"depth": 3, "budget": 16}, 256), ({"forks": 6}, 288), ({"mode": "chained", "branches": 16}, 256)):
        with pytest.raises(ManifestError, match=f"one engine gets {latents} latents"):
            validate(MINIMAL | latent | {"branching": branching})


def test_all_batches_of_a_step_share_the_slot_handles():
    latent = {"latent": NOISE | {"psa": {"k_slots": 1}}}
    validate(MINIMAL | latent | {"data": {"questions_per_step": 8, "batches_per_step": 5}})
    with pytest.raises(ManifestError, match="one engine gets 288 latents"):
        validate(MINIMAL | latent | {"data": {"questions_per_step": 8, "batches_per_step": 6}})


RATIOS = [
    (engine_is, offpolicy, kind) for engine_is in (True, False) for offpolicy in ("truncated_is", "none") for kind in ("normal", "none")
]


@pytest.mark.parametrize(("engine_is", "offpolicy", "kind"), RATIOS)
def test_a_part_of_the_vocabulary_is_refused_exactly_where_a_ratio_is_taken(engine_is, offpolicy, kind):
    latent, loss = NOISE | {"offpolicy": offpolicy, "kind": kind}, {"engine_is": engine_is}
    values = MINIMAL | {"branching": {"pivot": "resample"}, "latent": latent, "learner": {"loss": loss}}
    validate(values)
    for cut in ({"top_p": 0.9}, {"top_k": 20}, {"top_p": 0.9, "top_k": 20}):
        if engine_is or (offpolicy == "truncated_is" and kind != "none"):
            with pytest.raises(ManifestError, match=" and ".join(rf"rollout\.{key}={value}" for key, value in cut.items())) as error:
                validate(values | {"rollout": cut})
            assert ("engine_is=true" in str(error.value)) == engine_is
        else:
            assert validate(values | {"rollout": cut}).rollout.top_p == cut.get("top_p", 1.0)


def test_old_tokens_need_importance_weights_and_engines_of_their_own():
    validate(MINIMAL | {"max_staleness": 2})
    with pytest.raises(ManifestError, match=r"^max_staleness=2: tokens of older policies .*; set learner\.loss\.engine_is=true, or max_st"):
        validate(MINIMAL | {"max_staleness": 2, "learner": {"loss": {"engine_is": False}}})
    local = {"cluster": {"mode": "local"}, "rollout": {"engines": 1}, "learner": {"ranks": 1}, "ib": {"replicas": 1}}
    validate(MINIMAL | local)
    with pytest.raises(ManifestError, match=r"^max_staleness=1: cluster\.mode=local .* nothing overlaps; set cluster\.mode=ray, or max_st"):
        validate(MINIMAL | local | {"max_staleness": 1})


def test_conditioning_needs_a_latent_and_trained_maps():
    def latent(**values):
        return validate(MINIMAL | {"latent": NOISE | {"offpolicy": "condition", **values}}).latent

    assert latent(weights="fitted", kind="cvae").offpolicy == "condition"
    with pytest.raises(ManifestError, match=r"no z to condition on with latent\.kind=none"):
        latent(weights="fitted", kind="none")
    with pytest.raises(ManifestError, match=r"set latent\.weights"):
        latent()


def test_a_draw_spreads_the_latents_of_whole_forks():
    def drawn(draw, budget, **latent):
        return validate(MINIMAL | {"latent": NOISE | {"draw": draw, **latent}, "branching": {"branches": 4, "budget": budget}})

    for draw in ("antithetic", "stratified"):
        drawn(draw, 4)
        drawn(draw, 3, kind="none")
        with pytest.raises(ManifestError, match=rf"^branching\.budget=3: no fork gets its 4 branches, .* latent\.draw={draw} .*draw=iid$"):
            drawn(draw, 3)
    drawn("iid", 3)


def test_every_problem_is_reported(tmp_path):
    with pytest.raises(ManifestError) as error:
        load(write(tmp_path / "m.yaml", name="m", steps=0, colour="red"))
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "complaint"), [("a: [", "not valid YAML"), ("- 1", "a manifest is a mapping"), ("extends: m.yaml", "goes in a circle")]
)
def test_files_that_are_no_manifest(tmp_path, text, complaint):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ManifestError, match=complaint):
        load(tmp_path / "m.yaml")


def test_missing_files_name_who_wanted_them(tmp_path):
    with pytest.raises(ManifestError, match="no such manifest"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ManifestError, match=r"extended by .*m\.yaml"):
        load(write(tmp_path / "m.yaml", extends="none.yaml"))


def test_keep_defaults_to_half_of_the_branches():
    assert [validate(MINIMAL | {"branching": {"branches": k}}).kept_branches for k in (0, 1, 2, 3, 4)] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("cut", [{"top_p": 0.9}, {"top_k": 20}])
def test_distinct_pivots_need_the_whole_vocabulary_where_there_are_branches(cut):
    loose = {"learner": {"loss": {"engine_is": False}}, "latent": {"kind": "none"}, "rollout": cut}
    with pytest.raises(ManifestError, match=r"^branching\.pivot=distinct: excludes tokens .* or branching\.pivot=resample$"):
        validate(MINIMAL | loose)
    assert validate(MINIMAL | loose | {"branching": {"branches": 0}}).branching.pivot == "distinct"


def test_the_manifest_of_a_run_before_pivots_had_names_is_read(tmp_path):
    for old, new in ((True, "keep"), (False, "resample")):
        path = write(tmp_path / "m.yaml", **MINIMAL | {"branching": {"include_pivot": old}})
        assert load_recorded(path).branching.pivot == new
        with pytest.raises(ManifestError, match=r"branching\.include_pivot: unknown key"):
            load(path)
