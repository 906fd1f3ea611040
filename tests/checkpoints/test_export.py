"""What `ib-lpo export` writes is the restored policy, for transformers and for vLLM, neither of which knows of ib_lpo."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from ib_lpo.checkpoints import export as exporting
from ib_lpo.checkpoints.export import choose, export
from ib_lpo.cli import app
from ib_lpo.errors import UserError
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.prior import build_prior
from ib_lpo.latent.store import build_maps, read_report
from ib_lpo.learner.restore import restore
from ib_lpo.manifest import dump
from ib_lpo.policy.load import load_policy

pytestmark = pytest.mark.slow
PROMPTS = [[3, 4, 5, 6], [9, 8], [20, 21, 22]]
VLLM = """
import json, sys
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", max_model_len=64, enforce_eager=True)
greedy = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
answers = llm.generate([{"prompt_token_ids": ids} for ids in json.loads(sys.argv[2])], greedy)
print("TOKENS", json.dumps([list(answer.outputs[0].token_ids) for answer in answers]))
"""


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "model"
    result = CliRunner().invoke(app, ["export", str(run.directory), str(out)])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def restored(run):
    policy = load_policy(run.manifest.model, dtype=torch.float32, device="cpu")
    restore(policy, None, run.checkpoint, run.manifest)
    return policy


def greedy(model, ids, count=12):
    ids = list(ids)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-count:]


def test_transformers_gives_the_logits_of_the_restored_policy(exported, restored, run):
    model = AutoModelForCausalLM.from_pretrained(exported)
    assert model.dtype == torch.float32 and model.config.attention_dropout == 0.1, "of the starting model"
    start = AutoModelForCausalLM.from_pretrained(run.manifest.model.path)
    for ids in PROMPTS:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits
            assert torch.equal(logits, restored(torch.tensor([ids])).logits)
            assert not torch.allclose(logits, start(torch.tensor([ids])).logits, atol=1e-3)
    assert model.generation_config.eos_token_id == [1, 5] and model.generation_config.max_new_tokens == 9


def test_plain_vllm_gives_its_greedy_tokens(exported, restored):
    plain = os.environ | {"VLLM_PLUGINS": "", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    command = [sys.executable, "-c", VLLM, str(exported), json.dumps(PROMPTS)]
    done = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    tokens = next(json.loads(line.removeprefix("TOKENS ")) for line in done.stdout.splitlines() if line.startswith("TOKENS "))
    assert tokens == [greedy(restored, ids) for ids in PROMPTS]


def test_tokenizer_and_chat_template_come_along(exported, run):
    ours, theirs = (AutoTokenizer.from_pretrained(path) for path in (exported, run.manifest.model.path))
    text = [{"role": "user", "content": "1+2=?"}]
    assert ours.chat_template == theirs.chat_template is not None
    assert ours.apply_chat_template(text, tokenize=False) == theirs.apply_chat_template(text, tokenize=False) == "<user>1+2=?"
    assert ours("3+4=?")["input_ids"] == theirs("3+4=?")["input_ids"] and ours.eos_token_id == theirs.eos_token_id


def test_its_latent_is_what_latent_weights_takes(exported, run):
    """With the exported model as the policy: the prior as it was fitted, the maps as they were trained."""
    latent = run.manifest.latent.model_copy(update={"weights": exported / "latent"})
    model = run.manifest.model.model_copy(update={"path": str(exported)})
    settings = run.manifest.model_copy(update={"latent": latent, "model": model})
    maps = build_maps(settings, MapShape.of(AutoModelForCausalLM.from_pretrained(exported).config, latent), torch.float32)
    assert all(torch.equal(tensor, run.published[f"maps.{name}"]) for name, tensor in maps.named_parameters())
    before = build_maps(run.manifest, maps.shape, torch.float32)
    assert not torch.equal(maps.kv, before.kv), "training moved them"
    prefix = [np.array([3, 4, 5])]
    mu, sigma = build_prior(settings).moments(prefix)
    fitted_mu, fitted_sigma = build_prior(run.manifest).moments(prefix)
    assert np.allclose(mu, fitted_mu, atol=0.05) and np.allclose(sigma, fitted_sigma, rtol=0.05), "up to the embeddings that RL moved"
    assert read_report(exported / "latent") == {"elbo": -1.0}


def test_another_type_in_shards_from_a_copy_far_from_its_run(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "SHARD", "60KB")
    shutil.copytree(run.checkpoint, tmp_path / "copy")
    out = export(tmp_path / "copy", tmp_path / "model", dtype="bfloat16")
    assert len(list(out.glob("model-*.safetensors"))) > 1 and (out / "model.safetensors.index.json").exists()
    stored = dict(AutoModelForCausalLM.from_pretrained(out, dtype="auto").named_parameters())
    assert stored.keys() == {name for name in run.published if not name.startswith("maps.")}
    assert all(torch.equal(tensor, run.published[name].bfloat16()) for name, tensor in stored.items())
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "model"}
    os.umask(mask := os.umask(0))
    assert {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()} == {0o666 & ~mask}


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(run, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    broken = shutil.copytree(run.checkpoint, tmp_path / "broken")
    next((broken / "learner").glob("weights-00000*")).write_bytes(b"half")
    for source, out, complaint in (
        (run.directory, tmp_path / "there", "is there already; name a directory that is not"),
        (tmp_path / "nowhere", tmp_path / "new", "neither a checkpoint (no state.json in it) nor a run directory"),
        (tmp_path / "empty", tmp_path / "new", "has no complete checkpoint yet"),
        (broken, tmp_path / "new", "weights-00000.safetensors: damaged"),
    ):
        result = CliRunner().invoke(app, ["export", str(source), str(out)])
        *progress, told = result.stderr.strip().splitlines()
        assert result.exit_code == 2 and complaint in told and all("Loading weights" in line for line in progress if line.strip())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "there"]


@pytest.mark.parametrize("error", [SafetensorError("Error while serializing: I/O error: No space left on device"), OSError(28, "No space")])
def test_a_full_disk_is_one_line_and_leaves_nothing(run, tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(exporting, "_save_latent", full)
    with pytest.raises(UserError, match=r"new: cannot be written \(.*No space.*\); make room there"):
        export(run.checkpoint, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_code_of_a_model_is_run_only_when_it_is_trusted(run, tmp_path):
    copy = shutil.copytree(run.checkpoint, tmp_path / "copy")
    model = run.manifest.model.model_copy(update={"trust_remote_code": True})
    (copy / "manifest.yaml").write_text(dump(run.manifest.model_copy(update={"model": model})))
    result = CliRunner().invoke(app, ["export", str(copy), str(tmp_path / "new")])
    assert result.exit_code == 2 and "model.trust_remote_code=true" in result.stderr and "give --trust-remote-code" in result.stderr
    assert not (tmp_path / "new").exists() and "is run, with all" not in result.stdout
    result = CliRunner().invoke(app, ["export", str(copy), str(tmp_path / "new"), "--trust-remote-code"])
    assert result.exit_code == 0 and (tmp_path / "new" / "config.json").exists() and "is run, with all" in result.stdout


def test_the_best_checkpoint_of_a_run(run, tmp_path):
    for step, value in ((2, 0.9), (4, 0.5)):
        path = shutil.copytree(run.checkpoint, tmp_path / "run" / "checkpoints" / f"step-{step:06d}")
        config = run.manifest.checkpoint.model_copy(update={"best": "held_out/accuracy"})
        (path / "manifest.yaml").write_text(dump(run.manifest.model_copy(update={"checkpoint": config})))
        (path / "state.json").write_text(json.dumps({"step": step, "ranked": {"metric": "held_out/accuracy", "value": value}}))
    assert choose(tmp_path / "run", best=True).name == "step-000002"
    assert choose(tmp_path / "run", best=False).name == "step-000004"
    with pytest.raises(UserError, match=r"no checkpoint has a value of checkpoint\.best=None; export the newest without --best"):
        choose(run.directory, best=True)
    with pytest.raises(UserError, match="no run directory"):
        choose(run.checkpoint, best=True)
