"""Which step is the last one, against the sum written out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.budget.ending import generated_tokens, is_last
from ib_lpo.manifest import validate

STEPS = 6


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=STEPS, max_size=STEPS), st.none() | st.integers(1, 320))
def test_the_first_step_that_reaches_the_budget_is_the_last_and_so_is_the_last_of_all(tokens, budget):
    manifest = validate({"name": "e", "steps": STEPS, "model": {"path": "m"}, "budget": {"generated_tokens": budget}})
    lines = [{"step": 0}, *({"step": step, "grow/tokens": generated} for step, generated in enumerate(tokens, start=1))]
    sums = [sum(tokens[:n]) for n in range(1, STEPS + 1)]
    reached = [step for step, total in enumerate(sums, start=1) if budget is not None and total >= budget]
    for step in range(1, STEPS + 1):
        assert generated_tokens(lines[: step + 1]) == sums[step - 1]
        assert is_last(step, generated_tokens(lines[: step + 1]), manifest) == (step in reached or step == STEPS)
