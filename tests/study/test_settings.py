"""What makes two runs the same: digests, and which differences count."""

import pytest

from ib_lpo.manifest import validate
from ib_lpo.study.settings import changes, digest_of, settings_of

BASE = {"name": "a", "steps": 5, "model": {"path": "m"}}


def settings(**values):
    return settings_of(validate(BASE | values))


@pytest.mark.parametrize(
    "values",
    [
        {"name": "b"},
        {"runs_dir": "elsewhere"},
        {"model": {"path": "other"}},
        {"data": {"train": {"size": 1024, "path": "x.jsonl"}}},
        {"cluster": {"cpus": 3, "call_deadline_s": 7}},
        {"checkpoint": {"every": 3}},
        {"tracking": {"wandb": "disabled"}},
    ],
)
def test_names_places_and_machinery_are_no_difference(values):
    assert settings(**values) == settings() and digest_of(settings(**values)) == digest_of(settings())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"seed": 3}, "seed: was 0, is now 3"),
        ({"budget": {"generated_tokens": 9}}, "budget.generated_tokens: was null, is now 9"),
        ({"held_out": {"ks": [1], "every": 0}}, "held_out.ks: was [], is now [1]"),
        ({"branching": {"pivot": "resample"}}, 'branching.pivot: was "distinct", is now "resample"'),
    ],
)
def test_what_changes_a_run_changes_its_digest_and_is_named(values, told):
    assert changes(settings(), settings(**values)) == [told]
    assert digest_of(settings()) != digest_of(settings(**values))


def test_two_latents_differ_by_their_kind_and_not_by_where_they_lie():
    fitted = [settings(latent={"kind": "cvae", "weights": path}) for path in ("one", "two")]
    assert fitted[0] == fitted[1]
    assert changes(settings(), fitted[0]) == ['latent.kind: was "none", is now "cvae"']


def test_a_key_that_a_result_does_not_know_yet_counts_when_it_is_set():
    """The manifest gets keys whose defaults leave old runs as they were; their results stay good."""
    old = settings()
    del old["branching.pivot"], old["budget.generated_tokens"]
    assert changes(old, settings()) == []
    assert changes(old, settings(budget={"generated_tokens": 9})) == ["budget.generated_tokens: was null, is now 9"]
    assert changes(settings() | {"gone": 1}, settings()) == ["gone: was 1, is now absent"]


def test_a_loss_has_the_keys_of_its_kind():
    other = {"learner": {"loss": {"kind": "kl_cov"}, "mini_batches": 2}}
    known = settings(**other)
    key = next(key for key in known if key.startswith("learner.loss.") and key not in settings())
    assert changes({name: value for name, value in known.items() if name != key}, known) == []
