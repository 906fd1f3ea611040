"""`ib-lpo latent fit` on a random policy and solutions that only a z can tell apart; what uses the result, and what refuses it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.errors import UserError
from ib_lpo.latent.fitting.config import FitConfig
from ib_lpo.latent.fitting.fit import fit
from ib_lpo.latent.fitting.trainer import Trainer
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.latent.store import build_maps, has_maps, save_latent
from ib_lpo.manifest import load, validate
from ib_lpo.tracking import read_metrics
from tests.latent.toy import LENGTH, SYMBOLS, manifest, save_model, save_solutions, values, write_manifest

SHORT = {"steps": 6, "every": 2, "solutions_per_step": 3, "held_out": 4, "min_active_units": 0, "min_use": -1e9}
COLLAPSED = {"steps": 40, "every": 40, "solutions_per_step": 8, "held_out": 32}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with model and solutions."""
    folder = tmp_path_factory.mktemp("toy")
    save_model(folder / "model")
    save_solutions(folder / "solutions.jsonl")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """The same model and solutions, no run yet."""
    (tmp_path / "model").symlink_to(made / "model")
    (tmp_path / "solutions.jsonl").symlink_to(made / "solutions.jsonl")
    return tmp_path


@pytest.fixture(scope="module")
def fitted(made):
    """Folder and last report of one fit."""
    return made, fit(manifest(made))


def short(folder, **settings):
    return manifest(folder, **(SHORT | settings))


def latent_of(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "runs/toy-latent/latent.safetensors")


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.slow
def test_z_says_what_the_condition_does_not_know(fitted):
    folder, report = fitted
    lines = [line for line in read_metrics(folder / "runs/toy-latent/metrics.jsonl") if "held_out/elbo" in line]
    assert [line["step"] for line in lines] == [60, 120]
    assert report["elbo"] == lines[-1]["held_out/elbo"] == pytest.approx(-(report["nll"] + report["kl"]))
    assert report["elbo"] > -LENGTH * np.log(len(SYMBOLS))  # more than which symbols there are: that all of a line are the same
    assert report["nll"] < report["nll_without"] / 4
    assert report["use_of_z"] == pytest.approx(report["nll_other"] - report["nll"], rel=1e-4)
    assert report["use_of_z"] > 10 and report["use_of_z"] > 5 * report["use_of_z_error"] > 0 and report["nll_prior"] > report["nll"] + 5
    assert report["active_units"] >= 1 and report["kl"] > np.log(len(SYMBOLS)) / 2
    assert report["kl"] == pytest.approx(sum(report["kl_per_dim"]), rel=1e-4) and report["tokens"] == LENGTH


@pytest.mark.slow
def test_what_a_fit_leaves(fitted):
    folder, report = fitted
    run = folder / "runs/toy-latent"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "latent.json",
        "latent.safetensors",
        "manifest.yaml",
        "metrics.jsonl",
    ]
    facts = json.loads((run / "latent.json").read_text())
    assert facts["report"] == report | {"objective": "lm", "steps": 120}
    assert (facts["cvae"]["dim"], facts["maps"]["layers"], facts["encoder"]["kind"]) == (4, [0, 1, 2], "embedding")
    assert load(run / "manifest.yaml") == manifest(folder)
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 121))
    assert {"fit/elbo", "fit/kl", "fit/nll", "fit/beta", "fit/grad_norm", "fit/pairs", "fit/cut_targets"} <= lines[0].keys()
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000120"]


def use(fitted, folder=None, **latent):
    """A manifest that trains with the fitted latent."""
    whole = values(fitted[0])
    weights = str(fitted[0] / "runs/toy-latent" if folder is None else folder)
    return validate(whole | {"latent": whole["latent"] | {"kind": "cvae", "weights": weights} | latent})


def shape_of(m):
    return MapShape.of(AutoConfig.from_pretrained(m.model.path), m.latent)


@pytest.mark.slow
def test_the_sampler_and_the_maps_take_it(fitted):
    m = use(fitted)
    sampled = LatentSampler(m).sample([LatentRequest(prefix_ids=np.arange(5, dtype=np.int32), count=3, seed=1)])[0]
    assert len(sampled) == 3 and sampled[0].shape == (4,)
    maps, stored = build_maps(m, shape_of(m), torch.float32), latent_of(fitted[0])
    assert has_maps(m, shape_of(m)) and not any(parameter.requires_grad for parameter in maps.parameters())
    for name, tensor in maps.state_dict().items():
        assert torch.equal(tensor, stored[f"maps.{name}"])
    untrained = build_maps(manifest(fitted[0]), shape_of(m), torch.float32)
    assert not torch.equal(untrained.kv, maps.kv)
    assert build_maps(m, shape_of(m), torch.bfloat16).kv.dtype == torch.bfloat16


def refused(m) -> str:
    with pytest.raises(UserError) as caught:
        if m.latent.kind == "cvae":
            LatentSampler(m)
        build_maps(m, shape_of(m), torch.float32)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_misfits_are_one_line(fitted, tmp_path):
    assert "has dimension 4; set latent.dim to that" in refused(use(fitted, dim=5))
    assert "set latent.encoder.window to that" in refused(use(fitted, encoder={"window": 3}))
    sentence = {"kind": "sentence", "path": "nowhere"}
    assert "was trained with embedding; set latent.encoder.kind" in refused(use(fitted, encoder=sentence))
    assert "its maps have injection=psa" in refused(use(fitted, injection="softmax"))
    assert "its maps have k_slots=2" in refused(use(fitted, psa={"layers": "all", "k_slots": 3}))
    assert "its maps have layers=[0, 1, 2]" in refused(use(fitted, psa={"layers": 1, "k_slots": 2}))
    assert "no usable latent.json and latent.safetensors" in refused(use(fitted, tmp_path / "gone"))
    gates = use(fitted, psa={"layers": "all", "k_slots": 2, "layer_gates": [1, 0, 2], "gate": "linear"})
    assert build_maps(gates, shape_of(gates), torch.float32)  # the gates act outside of the maps


@pytest.mark.slow
def test_a_latent_of_another_model_is_refused(fitted, tmp_path):
    """Of the same sizes and under the same settings: only the weights differ."""
    other = tmp_path / "other"
    shutil.copytree(fitted[0] / "model", other)
    tensors = load_file(other / "model.safetensors")
    tensors["model.embed_tokens.weight"][7, 3] += 0.5
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    m = use(fitted)
    elsewhere = m.model_copy(update={"model": m.model.model_copy(update={"path": str(other)})})
    complaint = rf"^model\.path='{other}': the latent in '.*' was fitted to a model with other input embeddings; use that model, or fit"
    for load_it in (LatentSampler, lambda m: has_maps(m, shape_of(m)), lambda m: build_maps(m, shape_of(m), torch.float32)):
        load_it(m)
        with pytest.raises(UserError, match=complaint) as caught:
            load_it(elsewhere)
        assert "\n" not in str(caught.value)


def test_a_latent_that_does_not_say_whose_it_is_can_be_saved_anew(folder, monkeypatch):
    """As one that code without identities left: its checkpoint is all that is needed, and no step is made again."""
    report, run = fit(short(folder)), folder / "runs/toy-latent"
    before, facts = latent_of(folder), json.loads((run / "latent.json").read_text())
    del facts["weights"]
    (run / "latent.json").write_text(json.dumps(facts))
    assert "save it anew, from the fit's last step, with `ib-lpo latent fit MANIFEST --resume`" in refused(use((folder, None)))

    def no_step(*_):
        raise AssertionError("a step was made")

    monkeypatch.setattr(Trainer, "step", no_step)
    assert fit(short(folder), resume=True) == report
    assert equal(latent_of(folder), before) and build_maps(use((folder, None)), shape_of(use((folder, None))), torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated tensors", "no facts", "half facts", "other facts", "fewer tensors"])
def test_damaged_files_are_one_line(fitted, tmp_path, damage):
    latent = tmp_path / "latent"
    shutil.copytree(fitted[0] / "runs/toy-latent", latent)
    tensors, facts = latent / "latent.safetensors", latent / "latent.json"
    match damage:
        case "truncated tensors":
            tensors.write_bytes(tensors.read_bytes()[:-100])
        case "no facts":
            facts.unlink()
        case "half facts":
            facts.write_text(facts.read_text()[:40])
        case "other facts":
            facts.write_text(facts.read_text().replace('"hidden": 32', '"width": 32'))
        case "fewer tensors":
            facts.write_text(facts.read_text().replace('"hidden": 32', '"hidden": 16'))
    assert f"latent.weights='{latent}': no usable" in refused(use(fitted, latent))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["fsync", "replace", "replace_text"])
def test_a_crash_while_saving_leaves_no_mix(fitted, tmp_path, monkeypatch, point):
    """Old tensors with new facts, or the other way round, would load and mean nothing."""
    m, latent = use(fitted), tmp_path / "latent"
    shutil.copytree(fitted[0] / "runs/toy-latent", latent)
    trainer = Trainer(m, LatentSampler(m)._prior._encode, "cpu")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        target = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "replace_text": "ib_lpo.latent.store.replace_text"}[point]
        patched.setattr(target, fail)
        networks, maps = trainer.cvae.state_dict(), trainer.objective.maps
        with pytest.raises(UserError, match=r"the latent cannot be written \(disk full\); make room there"):
            save_latent(latent, networks=networks, shape=trainer.shape, manifest=m, maps=maps, report={})
    if point == "fsync":
        assert equal(load_file(latent / "latent.safetensors"), latent_of(fitted[0])) and LatentSampler(use(fitted, latent))
    else:
        assert "no usable" in refused(use(fitted, latent))
    save_latent(latent, networks=networks, shape=trainer.shape, manifest=m, maps=maps, report={})
    assert torch.equal(build_maps(use(fitted, latent), maps.shape, torch.float32).kv, maps.kv)


def test_lars_fits_a_prior_and_leaves_the_maps_untrained(folder):
    fit(short(folder, objective="lars"))
    m = use((folder, None))
    assert not has_maps(m, shape_of(m))
    assert all(name.startswith("cvae.") for name in latent_of(folder))
    assert len(LatentSampler(m).sample([LatentRequest(prefix_ids=np.arange(5, dtype=np.int32), count=2, seed=1)])[0]) == 2
    assert torch.equal(build_maps(m, shape_of(m), torch.float32).kv, build_maps(manifest(folder), shape_of(m), torch.float32).kv)


@pytest.mark.parametrize(
    ("settings", "cause", "least"),
    [
        ({"beta": 1e6, "free_bits": 0.0, "beta_ramp": 0.0, "lr": 3e-3}, "0 active dimensions, fewer", {"min_active_units": 1}),
        ({"steps": 6}, r"two standard errors more than latent_fit\.min_use=0\.", {"min_use": 0.0}),
    ],
)
def test_a_collapsed_latent_is_an_error_and_not_saved(folder, settings, cause, least):
    collapsed = COLLAPSED | settings
    with pytest.raises(UserError, match=f"^the latent is of no use: .*{cause}") as caught:
        fit(short(folder, **collapsed | least))
    assert "\n" not in str(caught.value) and "latent_fit.free_bits" in str(caught.value)
    assert not list((folder / "runs/toy-latent").glob("*latent.*"))
    with pytest.raises(UserError, match="of no use"):  # nor after a resume that has no step to make
        fit(short(folder, **collapsed | least), resume=True)
    fit(short(folder, **collapsed), resume=True)  # the same fit for who asks less of it
    assert (folder / "runs/toy-latent/latent.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("symbol", "seed"), [("constant", 0), ("asked", 0), ("asked", 1), ("asked", 2)])
def test_where_z_cannot_help_it_is_found_to_have_collapsed(folder, symbol, seed):
    """Under the thresholds of the defaults, whether the continuation is always the same or the question tells it."""
    (folder / "solutions.jsonl").unlink()
    save_solutions(folder / "solutions.jsonl", 600, symbol)
    kept = {name: FitConfig.model_fields[name].default for name in ("held_out", "free_bits", "min_use", "min_active_units")}
    nothing_to_say = values(folder, steps=160, every=80, lr=0.01, solutions_per_step=16, **kept) | {"seed": seed}
    with pytest.raises(UserError, match=r"^the latent is of no use: "):
        fit(validate(nothing_to_say))
    last = read_metrics(folder / "runs/toy-latent/metrics.jsonl")[-1]
    assert last["held_out/nll_prior"] < last["held_out/nll_without"] / 4  # the fit learnt what there was to learn


def test_a_gradient_that_is_not_finite_stops_the_fit(folder):
    with pytest.raises(UserError, match=r"^latent_fit\.lr=1e\+30: the gradient of step \d is not finite; lower it"):
        fit(short(folder, lr=1e30))


@pytest.fixture(scope="module")
def uninterrupted(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    for name in ("model", "solutions.jsonl"):
        (folder / name).symlink_to(made / name)
    report = fit(short(folder))
    return folder, report


@pytest.mark.parametrize("at", [2, 5, 6])
def test_an_interrupted_fit_goes_on_as_if_it_had_not_been(folder, uninterrupted, monkeypatch, at):
    path, step = write_manifest(folder, **SHORT), Trainer.step

    def interrupted(self, number, pairs):
        if number == at:
            raise KeyboardInterrupt
        return step(self, number, pairs)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", interrupted)
        stopped = CliRunner().invoke(app, ["latent", "fit", str(path)])
    assert stopped.exit_code == 130 and "go on with --resume" in stopped.stderr
    assert not (folder / "runs/toy-latent/latent.json").exists()
    again = CliRunner().invoke(app, ["latent", "fit", str(path), "--resume"])
    assert again.exit_code == 0 and f"from step {(at - 1) // 2 * 2} of 6" in again.stdout
    assert equal(latent_of(folder), latent_of(uninterrupted[0]))
    lines, whole = (read_metrics(f / "runs/toy-latent/metrics.jsonl") for f in (folder, uninterrupted[0]))
    assert lines == whole and len(lines) == 6
    assert json.loads((folder / "runs/toy-latent/latent.json").read_text()) == json.loads(
        (uninterrupted[0] / "runs/toy-latent/latent.json").read_text()
    )


def test_a_finished_fit_resumes_to_itself(folder, uninterrupted):
    assert fit(short(folder)) == uninterrupted[1]
    before = latent_of(folder)
    (folder / "runs/toy-latent/latent.json").unlink()
    assert fit(short(folder), resume=True) == uninterrupted[1]
    assert equal(latent_of(folder), before) and (folder / "runs/toy-latent/latent.json").exists()


@pytest.mark.slow
def test_a_killed_fit_goes_on_as_if_it_had_not_been(folder, uninterrupted):
    settings = SHORT | {"steps": 60}
    path, run = write_manifest(folder, **settings), folder / "runs/toy-latent"
    arguments = [sys.executable, "-m", "ib_lpo", "latent", "fit", str(path)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    while not (run / "checkpoints/step-000004/complete").exists() and not list(run.glob("checkpoints/step-00000[68]")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert not (run / "latent.safetensors").exists()
    fit(manifest(folder, **settings), resume=True)
    resumed = latent_of(folder)
    shutil.rmtree(run)
    fit(manifest(folder, **settings))
    assert equal(resumed, latent_of(folder))


def test_another_fit_cannot_be_gone_on_with(folder):
    fit(short(folder))
    before, whole = latent_of(folder), values(folder, **SHORT)
    other_settings = [
        ({"latent_fit": whole["latent_fit"] | {"lr": 0.5}}, r"^latent_fit: was lr 0\.02, is now 0\.5; .*--fresh$"),
        ({"latent": whole["latent"] | {"injection": "input"}}, r"^latent: was injection 'psa', is now 'input'; "),
        ({"seed": 1}, "^seed: was 0, is now 1; "),
        ({"learner": {"ranks": 1, "dtype": "bfloat16", "lr": 0.5}}, "^learner: was dtype 'auto', is now 'bfloat16'; "),
        ({"latent_fit": whole["latent_fit"] | {"held_out": 5, "every": 3}}, "^latent_fit: was held_out 4, is now 5; "),
        ({"rollout": {"engines": 1, "max_response_tokens": 5}}, "^rollout: was max_response_tokens 4096, is now 5; "),
    ]
    for changed, message in other_settings:
        with pytest.raises(UserError, match=message):
            fit(validate(whole | changed), resume=True)
    assert equal(latent_of(folder), before)
    unused = {
        "branching": {"branches": 2},
        "steps": 9,
        "analysis": {"latent": {"forks": 5}},
        "learner": {"ranks": 1, "lr": 0.5, "logprob_chunk": 64},
        "rollout": {"engines": 1, "temperature": 0.5},
        "latent": whole["latent"] | {"kind": "cvae", "weights": "elsewhere", "temperature": 2.0, "draw": "stratified", "offpolicy": "none"},
        "latent_fit": whole["latent_fit"] | {"every": 3, "min_use": -1e6},
    }
    fit(validate(whole | unused), resume=True)
    assert equal(latent_of(folder), before)


def test_sequences_beyond_the_context_of_the_model_are_one_line(folder):
    longest = max(len(f"{row['question']}so\n") for row in map(json.loads, (folder / "solutions.jsonl").read_text().splitlines())) + LENGTH
    whole = values(folder, **SHORT)
    rollout = {"engines": 1, "max_prompt_tokens": 10, "max_response_tokens": 8}

    def within(context, **fit_settings):
        model = whole["model"] | {"max_context": context}
        short_rollouts = {"rollout": rollout, "learner": whole["learner"] | {"max_tokens_per_micro_batch": 64}}
        return validate(whole | short_rollouts | {"model": model, "latent_fit": whole["latent_fit"] | fit_settings})

    with pytest.raises(
        UserError, match=rf"^latent_fit\.max_target_tokens=256: .* may take {longest} tokens, the context of .* has"
    ) as caught:
        fit(within(longest - 1))
    assert "\n" not in str(caught.value) and not (folder / "runs").exists()
    fit(within(longest))
    fit(within(longest - 1, max_target_tokens=LENGTH - 1, min_target_tokens=1), resume=False)


def test_an_existing_fit_is_neither_overwritten_nor_lost(folder):
    path = write_manifest(folder, **SHORT)
    run = folder / "runs/toy-latent"
    run.mkdir(parents=True)
    (run / "mine").touch()
    refusal = CliRunner().invoke(app, ["latent", "fit", str(path)])
    assert refusal.exit_code == 2 and "--resume" in refusal.stderr and "--fresh" in refusal.stderr
    assert [entry.name for entry in run.iterdir()] == ["mine"]
    broken = CliRunner().invoke(app, ["latent", "fit", str(path), "data.train.solution_column=null", "--fresh"])
    assert broken.exit_code == 2 and len(broken.stderr.splitlines()) == 1
    assert (run / "mine").exists()  # what cannot start sets nothing aside
    assert CliRunner().invoke(app, ["latent", "fit", str(path), "--fresh"]).exit_code == 0
    assert (folder / "runs/toy-latent.1/mine").exists() and (run / "latent.json").exists()


def test_a_log_has_lines_and_no_bar(folder):
    shown = CliRunner().invoke(app, ["latent", "fit", str(write_manifest(folder, **SHORT))]).stdout.splitlines()
    assert [line.split()[:4] for line in shown[1:4]] == [["step", n, "held", "out"] for n in ("2", "4", "6")]
    assert shown[0].startswith("latent fit toy from step 0 of 6 on cpu") and shown[-1].startswith("saved: ") and len(shown) == 5


def test_wandb_gets_the_metrics_too(folder):
    whole = values(folder, **SHORT | {"steps": 2, "objective": "lars"})
    fit(validate(whole | {"tracking": {"wandb": "offline"}}))
    run = folder / "runs/toy-latent"
    assert list(run.glob("wandb/offline-run-*/*.wandb"))
    assert not any("tracking/wandb_failures" in line for line in read_metrics(run / "metrics.jsonl"))
