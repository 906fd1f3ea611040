"""What counts as a secret, and where none may stand: manifests, their errors, and kept stderr."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.fleet.log import hide_secrets, tail
from ib_lpo.manifest import ManifestError, dump, load, validate
from ib_lpo.redaction import HIDDEN, is_secret_name, redact, secret_spans, secret_values, stored_values

MINIMAL = {"name": "m", "steps": 3, "model": {"path": "somewhere"}}
SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf-but-of-another-shape",
    "HUGGING_FACE_HUB_TOKEN": "hub.token.value",
    "MY_SERVICE_PASSWORD": "correct horse battery",
    "ACCENTED_PASSWORD": "pässwörd à la carte",
}

MORE = ["GITHUB_PAT", "PGPASSWORD", "DB_PWD", "AZURE_STORAGE_CONNECTION_STRING", "NPM_AUTHTOKEN"]


@pytest.fixture
def secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "name", [*SECRETS, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "token", "wandb_api_key", *MORE]
)
def test_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["TOKENIZERS_PARALLELISM", "HF_TOKEN_PATH", "PATH", "max_tokens", "keep", "KEYBOARD", "monkey", "bypass", *("PWD", "OLDPWD")]
)
def test_names_of_other_things(name):
    assert not is_secret_name(name)


def test_values_of_the_environment_are_hidden_wherever_they_stand(secrets):
    for value in SECRETS.values():
        assert redact(f"header: {value}, and {value}.") == f"header: {HIDDEN}, and {HIDDEN}."


def test_values_that_are_too_short_to_be_told_apart_are_left():
    assert secret_values({"A_TOKEN": "short", "B_TOKEN": "long enough"}) == ["long enough"]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("token hf_" + "a1B2" * 8, "token ***"),
        ("key sk-" + "x" * 24 + " end", "key *** end"),
        ("ghp_" + "A" * 36, "***"),
        ("https://user:pass-word@host/x", "https://***@host/x"),
        ("Authorization: Bearer abcdefgh.ijklmnop", "Authorization: Bearer ***"),
        ("api_key = 'abcdefghij'", "api_key = '***'"),
        ('{"password": "abcdefghij"}', '{"password": "***"}'),
        ("Authorization: Basic dXNlcjpwYXNz, Accept: x", "Authorization: Basic ***, Accept: x"),
        ('{"Authorization": "Basic dXNlcjpwYXNz"}', '{"Authorization": "Basic ***"}'),
        ("git clone https://a1b2c3d4e5f6a7b8c9d0@host/x", "git clone https://***@host/x"),
        ("redis://:pass-word@host:1/0", "redis://***@host:1/0"),
        ("GET /x?a=1&token=s3cr3ts3cr3t&b=2 200", "GET /x?a=1&token=***&b=2 200"),
        ("https://s3/x?X-Amz-Credential=AB%2F1&X-Amz-Signature=0f0f0f0f", "https://s3/x?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("AWS4 SignedHeaders=host, Signature=" + "0f" * 32, "AWS4 SignedHeaders=host, Signature=***"),
        ("https://b/x?sv=2&sig=a%2Fb%3D", "https://b/x?sv=2&sig=***"),
        ("mysql --password hunter2! --user me", "mysql --password *** --user me"),
        ("['rclone', '--api-key', 'abc123def']", "['rclone', '--api-key', '***']"),
        ("export PGPASSWORD=abcdefgh DB_PWD=abcdefgh", "export PGPASSWORD=*** DB_PWD=***"),
        ("AccountName=a;AccountKey=abcdefgh==;End=x", "AccountName=a;AccountKey=***;End=x"),
    ],
)
def test_shapes_of_secrets(text, hidden):
    assert redact(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=512000000",
        "risk-free-but-quite-a-long-word",
        "step  1  reward 0.312",
        "configs/a.yaml",
        "http://host:8265/x",
        "bearer of news",
        "PWD=/home/somebody/runs",
        "ssh://git@github.com/x.git, git+https://host/x@v1.2.3",
        "https://host/x?max_tokens=512000&page=100000",
        "a basic authorization: basic",
        "give --token, or --password whenever needed",
        "tokens: 512000000, padding_token=0",
        "rollout.top_p=0.9 keeps tokenizer.json",
        "the signature=(self, x) differs",
    ],
)
def test_other_text_stays(text):
    assert redact(text) == text


def test_what_tools_store_in_the_home_directory_is_hidden(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    stored_values.cache_clear()
    assert stored_values() == frozenset()
    (tmp_path / ".netrc").write_text("machine api.host login user password stored-by-a-tool\n")
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "token").write_text("token.of.the.hub\n")
    stored_values.cache_clear()
    try:
        assert redact("stored-by-a-tool, token.of.the.hub, user") == f"{HIDDEN}, {HIDDEN}, user"
    finally:
        stored_values.cache_clear()


@given(st.text(alphabet="ab secret", max_size=30), st.text(alphabet="ab secret", max_size=30))
def test_nothing_of_a_secret_is_left_and_nothing_else_is_taken(before, after):
    spans = secret_spans(f"{before}THE SECRET{after}", ["THE SECRET"])
    assert spans == [(len(before), len(before) + 10)]
    assert secret_spans("abcabcab", ["abcab", "bca"]) == [(0, 7)], "those that overlap are one"


def test_a_manifest_with_a_secret_is_refused_and_not_shown(secrets, tmp_path):
    for value in (SECRETS["WANDB_API_KEY"], "hf_" + "a1B2" * 8):
        values = MINIMAL | {"tracking": {"notes": f"key {value}"}, "data": {"train": {"kind": "file", "path": f"{value}/t.jsonl"}}}
        with pytest.raises(ManifestError) as raised:
            validate(values)
        lines = str(raised.value).splitlines()
        assert [line.split(":")[0] for line in lines] == ["data.train.path", "tracking.notes"]
        assert all("; set an environment variable instead" in line for line in lines) and value not in str(raised.value)


def test_no_error_of_a_manifest_shows_one(secrets, tmp_path):
    minimal = "name: m\nsteps: 3\nmodel: {path: somewhere}\n"
    (tmp_path / "m.yaml").write_text(minimal)
    token = "hf_" + "a1B2" * 8
    for override in (f'tracking.notes="{token}', token, f"steps.x={token}", f'tracking.notes="{SECRETS["MY_SERVICE_PASSWORD"]}'):
        with pytest.raises(ManifestError, match=r"^override ") as raised:
            load(tmp_path / "m.yaml", [override])
        assert token not in str(raised.value) and SECRETS["MY_SERVICE_PASSWORD"] not in str(raised.value)
    for line in (f"notes: [a, {token}", f"notes: {SECRETS['HF_TOKEN']}: b", f"notes: *{token}"):
        (tmp_path / "broken.yaml").write_text(f"{minimal}{line}\n")
        with pytest.raises(ManifestError, match=r"broken\.yaml: not valid YAML: .* line [45], column ") as raised:
            load(tmp_path / "broken.yaml")
        assert token[:12] not in str(raised.value) and SECRETS["HF_TOKEN"][:12] not in str(raised.value)
    for override in ("tracking.api_key=unknown-to-the-environment", f"steps={SECRETS['HF_TOKEN']}", f"traking={SECRETS['HF_TOKEN']}"):
        with pytest.raises(ManifestError) as raised:
            load(tmp_path / "m.yaml", [override])
        assert override.partition("=")[2] not in str(raised.value) and HIDDEN in str(raised.value)


def test_the_resolved_manifest_has_nothing_of_the_environment(secrets):
    text = dump(validate(MINIMAL))
    assert "name: m" in text and not any(value in text for value in SECRETS.values())


def test_kept_stderr_is_cleaned_in_place_and_its_tail_is_short(secrets, tmp_path):
    path = tmp_path / "engine-0.err"
    first = f"begin é {SECRETS['HF_TOKEN']} and {SECRETS['ACCENTED_PASSWORD']} end \udcff\n".encode("utf-8", "surrogateescape")
    path.write_bytes(first + b"".join(b"line %d\n" % i for i in range(30)) + SECRETS["WANDB_API_KEY"].encode())
    size = path.stat().st_size
    shown = tail(path)
    assert [line.strip() for line in shown.splitlines()[2:]] == [*(f"| line {i}" for i in range(21, 30)), f"| {'*' * 40}"]
    assert path.stat().st_size == size, "what a process appends meanwhile stays where it is"
    assert not any(value.encode() in path.read_bytes() for value in SECRETS.values())
    hidden = [b"*" * len(SECRETS[name].encode()) for name in ("HF_TOKEN", "ACCENTED_PASSWORD")]
    assert path.read_bytes().startswith("begin é ".encode() + hidden[0] + b" and " + hidden[1] + b" end \xff\nline 0\n")
    assert hide_secrets(path, size) == size


def test_stderr_that_is_not_there_is_told(tmp_path):
    assert "cannot be read (No such file or directory)" in tail(tmp_path / "none.err")
    (tmp_path / "empty.err").write_text("\n")
    assert tail(tmp_path / "empty.err") == tail(None) == ""


def test_a_log_that_grows_is_cut_and_keeps_its_end(tmp_path):
    """In a process of its own, whose stderr it is."""
    import subprocess
    import sys

    script = (
        "import os, sys\nfrom pathlib import Path\nfrom ib_lpo.fleet import log\n"
        "file = log.StderrFile(Path(sys.argv[1]))\nlog.MOST_BYTES, log._KEPT_BYTES = 1000, 100\n"
        "for i in range(100):\n    os.write(2, b'line %03d a-very-secret-value\\n' % i)\n    file.tidy()\n"
    )
    path = tmp_path / "logs" / "w.err"
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=300, env=os.environ | {"X_TOKEN": "a-very-secret-value"})
    text = path.read_text()
    assert len(text) < 1100 and text.endswith(f"line 099 {'*' * 19}\n") and "secret" not in text
    assert oct(path.stat().st_mode & 0o777) == "0o600"
