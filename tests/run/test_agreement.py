"""Engine and learner compared before the first step: which prompts, which bound, and the line of a refusal."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2Config

from ib_lpo.agreement import compared, require_agreement, scaling
from ib_lpo.errors import UserError
from ib_lpo.learner.gap import most_gap
from ib_lpo.manifest import validate
from tests.scoring.trees import question, trajectory, tree


def manifest(**learner):
    return validate({"name": "r", "steps": 5, "model": {"path": "m"}, "learner": learner})


@pytest.mark.parametrize(
    ("learner", "device", "bound"),
    [
        ({}, "cpu", 1e-3),
        ({}, "cuda", 0.1),
        ({"dtype": "bfloat16"}, "cpu", 0.1),
        ({"dtype": "float32"}, "cuda", 1e-3),
        ({"dtype": "float32", "max_logprob_gap": 0.5}, "cuda", 0.5),
    ],
)
def test_the_bound_is_that_of_the_type_unless_it_is_said(learner, device, bound):
    assert most_gap(manifest(**learner), device) == bound


def test_copies_of_another_type_have_its_bound():
    coarse = validate(manifest().model_dump() | {"weights": {"dtype": "bfloat16"}})
    assert most_gap(coarse, "cpu") == 0.1


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=7), st.integers(5, 60))
def test_scaled_positions_are_compared_up_to_the_longest_prompt(prompts, longest):
    asked = [question(f"q{i}", prompt_ids=tuple(ids)) for i, ids in enumerate(prompts)]
    plain = compared(asked, Qwen2Config(), longest=longest)
    assert plain == asked[:4]
    yarn = Qwen2Config(rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4, "original_max_position_embeddings": 16})
    *few, long = compared(asked, yarn, longest=longest)
    assert few == plain and len(long.prompt_ids) == longest and long.id not in {one.id for one in few}
    assert long.prompt_ids[: len(prompts[0])] == tuple(prompts[0])[:longest]
    assert (scaling(Qwen2Config()), scaling(yarn)) == (None, "yarn")


@pytest.fixture
def model(tmp_path):
    Qwen2Config(num_hidden_layers=1, rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 0.5}).save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(("gap", "refused"), [(0.0, False), (1e-3, False), (1.1e-3, True), (3.9, True), (float("nan"), True)])
def test_above_the_bound_the_run_is_refused_in_one_line(model, gap, refused):
    asked = []

    def sample(version, questions, how):
        asked.append((version, questions, how))
        return [tree(trajectory(f"{one.id}/r0", [1, 2, 3]), of=one) for one in questions]

    parts = SimpleNamespace(
        manifest=validate(manifest().model_dump() | {"model": {"path": model}}),
        device="cpu",
        sets=SimpleNamespace(train=[question(f"q{i}") for i in range(9)]),
        scheduler=SimpleNamespace(sample=sample),
        learner=SimpleNamespace(compare=lambda trees, version: {"mismatch/mean_abs": gap, "mismatch/max_abs": 2 * gap}),
    )
    if refused:
        with pytest.raises(
            UserError, match=rf"model\.path='{model}': .* over 12 sampled tokens; .*=0.001.*partial_rotary_factor=0.5"
        ) as told:
            require_agreement(7, parts)
        assert "\n" not in str(told.value)
    else:
        require_agreement(7, parts)
    ((version, questions, how),) = asked
    assert (version, len(questions), how.temperature) == (7, 4, parts.manifest.rollout.temperature)
