"""YAML that says something else than it looks like, or cannot be read at all: one line each, in files and in overrides."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.manifest import ManifestError, load, validate
from ib_lpo.plain_yaml import load_yaml

MINIMAL = "name: m\nsteps: 3\nmodel: {path: somewhere}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 90))


def refused(path: Path, match: str, overrides=()) -> None:
    with pytest.raises(ManifestError, match=match) as caught:
        load(path, overrides)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.fixture
def manifest(tmp_path) -> Path:
    path = tmp_path / "m.yaml"
    path.write_text(MINIMAL)
    return path


UNCLEAR = [
    ("steps: 3\nsteps: 4", r"key 'steps' stands here a second time, after line 1; remove one"),
    ("{steps: 3, steps: 3}", r"key 'steps' stands here a second time"),
    ("rollout:\n  engines: 1\n  top_k: 3\n  engines: 2", r"key 'engines' stands here a second time, after line 2"),
    ("{1: a, true: b}", "second time"),
    ("seed: 1:30", "colons, which YAML reads in base 60"),
    ("seed: 1:30:00", "base 60"),
    ("learner: {lr: 1:30.5}", "base 60"),
    ("seed: 010", "begins with 0, which YAML reads in base 8"),
    (f"seed: {'9' * 5001}", "an integer of 5001 digits"),
    ("seed: 9223372036854775808", "an integer beyond 9223372036854775807"),
    (f"seed: 0x{'f' * 20}", "an integer beyond"),
    (f"seed: {'[' * 3000}{']' * 3000}", "more than 50 brackets"),
    (f"seed: {'[' * 3000}", "more than 50 brackets"),
    (f"seed: {'{a: ' * 300}1{'}' * 300}", "more than 50 brackets"),
    ("seed: !!int x", "a tag: manifests have none"),
    ("seed: !!python/object/apply:os.getcwd []", "a tag"),
    ("seed: &a [*a]", "an alias that stands within itself"),
    ("seed: *a", "undefined alias|not valid YAML"),
]


@pytest.mark.parametrize(("text", "says"), UNCLEAR)
def test_in_a_file(tmp_path, text, says):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    refused(path, says)


@pytest.mark.parametrize("text", [BOMB, CHAIN])
def test_aliases_that_expand_without_end(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    refused(path, "more than 20000 values or 50 levels")


@pytest.mark.parametrize(("text", "says"), [(text, says) for text, says in UNCLEAR if text.startswith("seed: ")])
def test_in_an_override(manifest, text, says):
    refused(manifest, rf"override 'seed': .*({says})", [f"seed={text.removeprefix('seed: ')}"])


def test_a_mapping_in_an_override_has_each_key_once(manifest):
    refused(manifest, "override 'learner': key 'lr' stands here a second time", ["learner={lr: 1e-5, lr: 1e-6}"])


@pytest.mark.parametrize("value", ["true", "on", "yes", "off", "False"])
@pytest.mark.parametrize(
    "key", ["seed", "rollout.engines", "learner.lr", "rollout.top_k", "learner.loss.clip_low", "filter.keep", "data.train.size"]
)
def test_a_boolean_is_no_number(manifest, key, value):
    refused(manifest, rf"{key}=(True|False): .* are no numbers", [f"{key}={value}"])


@pytest.mark.parametrize(
    "override", ["learner.betas=[on, 0.9]", "latent.psa.layers=[0, yes]", "rollout.stop_tokens=[true]", "held_out.ks=[on]"]
)
def test_nor_within_a_list(manifest, override):
    refused(manifest, "are no numbers", [override])


def test_booleans_and_texts_stay_what_they_are(manifest):
    found = load(
        manifest,
        [
            "data.shuffle=off",
            "data.chat_template_kwargs={a: true, b: [on]}",
            "data.train.options={x: yes}",
            "name='1:30x'".replace(":", "-"),
        ],
    )
    assert found.data.shuffle is False
    assert found.data.chat_template_kwargs == {"a": True, "b": [True]}
    assert found.data.train.options == {"x": True}


def test_dates_and_quoted_numbers_are_text(manifest):
    found = load(manifest, ["model.revision=2024-13-45", "data.train.revision='010'"])
    assert (found.model.revision, found.data.train.revision) == ("2024-13-45", "010")


def test_merge_keys_are_no_repetition():
    assert load_yaml("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}") == {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_whatever_a_run_records_is_read_again(value):
    assert load_yaml(yaml.safe_dump(value)) == value


@settings(deadline=None)
@given(st.text(alphabet="ab01:[]{}&*-?!|>'\"#%@` \n,", max_size=40))
def test_any_text_is_read_or_is_a_yaml_error(text):
    try:
        load_yaml(text)
    except yaml.YAMLError as error:
        assert not isinstance(error, RecursionError)


@pytest.mark.parametrize("said", ["3", "{a: 1}", "[1]", "null", "true", "''", "[base.yaml, [other.yaml]]"])
def test_extends_of_another_type(tmp_path, said):
    path = tmp_path / "m.yaml"
    path.write_text(f"{MINIMAL}extends: {said}\n")
    refused(path, "extends=.*: expected the path of a manifest, or a list of them")


def test_extends_of_what_cannot_be_read(tmp_path):
    path = tmp_path / "m.yaml"
    for said, says in (
        (".", "cannot be read"),
        ("x" * 300, "cannot be read"),
        ("nowhere.yaml", "no such manifest"),
        ("~nobody-here/x", "home"),
    ):
        path.write_text(f"{MINIMAL}extends: {said}\n")
        refused(path, says)


def test_extends_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "base.yaml").write_text(MINIMAL)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "m.yaml").write_text("extends: ~/base.yaml\nsteps: 7\n")
    assert load(tmp_path / "sub" / "m.yaml").steps == 7


@pytest.mark.parametrize(
    "key", ["runs_dir", "model.path", "data.train.path", "latent.weights", "evaluation.checkpoint", "ib.reference_model"]
)
def test_a_path_may_begin_at_home(manifest, monkeypatch, key):
    monkeypatch.setenv("HOME", "/somewhere")
    more = {"ib.reference_model": ["ib.scorer=reference"], "latent.weights": ["latent.kind=none"]}.get(key, [])
    found = load(manifest, [f"{key}=~/x/y", *more])
    for part in key.split("."):
        found = getattr(found, part)
    assert str(found) == "/somewhere/x/y"


def test_what_is_no_path_keeps_its_tilde(manifest):
    assert load(manifest, ["data.template='~ {q}'", "model.path=a/b~c"]).data.template == "~ {q}"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (f"name={'n' * 300}", "name='n+[.]{3}: .*at most 200"),
        (f"runs_dir=/tmp/{'n' * 300}", "runs_dir=.*longer than the 255 bytes"),
        (f"model.path={'é' * 200}", "model.path=.*longer than the 255 bytes"),
        (f"{'k' * 5000}=1", "k+: unknown key"),
        (f"seed={'x' * 5000}", "seed='x+"),
        (f"evaluation.benchmarks={{{'b' * 300}: {{source: {{size: 1}}}}}}", "at most 200"),
        ('runs_dir="a\\0b"', "NUL"),
        ("runs_dir=~nobody-here/x", "no such home"),
    ],
)
def test_long_and_impossible_names_are_short_lines(manifest, override, says):
    refused(manifest, says, [override])


def test_python_values_are_held_to_the_same():
    with pytest.raises(ManifestError, match=r"seed=True: .* are no numbers"):
        validate({"name": "m", "steps": 3, "model": {"path": "x"}, "seed": True})
