"""`ib-lpo analyze latent`: what z adds to branches, against the same forks without z.

    runs/<name>-analysis/   latent.md             the tables
                            branches.csv          every branch: variant, fork, tokens, answer, verdict, text
                            latent_effects.*      differences from the control, with bootstrap intervals
                            latent_kl.*           KL per dimension of the fitted latents
                            latent_attention.*    attention under each injection, layer by head

Every branch of a fork resumes at the same prefix with the same sampling seed under all variants, and may take equally many tokens.
"""

from pathlib import Path

import numpy as np
from rich import get_console
from rich.table import Table

from ib_lpo.analysis.attention import AttentionEffect, attention_effect, with_injection
from ib_lpo.analysis.bootstrap import Estimate
from ib_lpo.analysis.effects import MEASURES, Grown, differences, measure, read_branches
from ib_lpo.analysis.figures import draw_attention, draw_effects, draw_kl, write_csv
from ib_lpo.analysis.forks import StudiedFork, find_forks
from ib_lpo.analysis.serving import serving
from ib_lpo.analysis.variants import CONTROL, TRAINED, branches, variants
from ib_lpo.data.questions import load_questions
from ib_lpo.errors import UserError
from ib_lpo.latent.encoders import build_encoder
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.latent.store import read_report
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_tokenizer, text_decoder
from ib_lpo.progress import say
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.seeds import derive


def analyze(manifest: Manifest) -> Path:
    """Run the study; returns the directory with its results. Raises UserError for a manifest without a trained latent."""
    if manifest.latent.kind != "cvae":
        raise UserError(f"latent.kind={manifest.latent.kind}: the study compares a trained z with none; set cvae and latent.weights")
    folder = manifest.runs_dir / f"{manifest.name}-analysis"
    reports = {name: read_report(path) for name, path in _fitted(manifest).items()}
    folder.mkdir(parents=True, exist_ok=True)
    decode = text_decoder(load_tokenizer(manifest.model))
    questions = load_questions(
        manifest.data.train, manifest.data, load_tokenizer(manifest.model), max_prompt_tokens=manifest.rollout.max_prompt_tokens
    )
    compared = variants(manifest)
    with serving(compared[0].manifest) as engine:
        forks = find_forks(manifest, questions, engine, decode)
    say(f"{len(forks)} forks, {len(compared)} variants of {manifest.analysis.latent.branches} branches each")
    grown = _grow(manifest, forks, decode)
    found = differences(measure(grown, build_encoder(manifest.analysis.latent.embedding, manifest.model)), manifest)
    attention = _attention(manifest, forks, grown)
    _write(folder, grown, found, attention, reports)
    get_console().print(_table(found))
    say(f"written to {folder}")
    return folder


def _fitted(manifest: Manifest) -> dict[str, Path]:
    return {manifest.latent.injection: manifest.latent.weights} | manifest.analysis.latent.injections


def _grow(manifest: Manifest, forks: list[StudiedFork], decode) -> Grown:
    """Branches under every variant, graded."""
    verifier = Verifier(manifest.verifier)
    width = manifest.analysis.latent.branches
    grown = {}
    try:
        for variant, generations in branches(forks, variants(manifest)):
            ids = [[generations[f"{fork.id}/b{k}"].token_ids for k in range(width)] for fork in forks]
            grown[variant.name] = read_branches(forks, ids, decode, verifier.grade)
            say(f"{variant.name}: {sum(len(one) for of in ids for one in of)} tokens")
    finally:
        verifier.close()
    return grown


def _attention(manifest: Manifest, forks: list[StudiedFork], grown: Grown) -> dict[str, AttentionEffect]:
    """Of each fitted injection, on the branches that z grew, with latents from its own prior."""
    chosen = range(min(len(forks), manifest.analysis.latent.attention_forks))
    found = {}
    for injection, weights in _fitted(manifest).items():
        say(f"attention under {injection}")
        fitted = with_injection(manifest, injection, weights)
        asked = [
            LatentRequest(prefix_ids=forks[i].prefix_ids, count=1, seed=derive(manifest.seed, "analysis", "latents", forks[i].id))
            for i in chosen
        ]
        latents = LatentSampler(fitted).sample(asked)
        cases = [
            (np.concatenate([forks[i].prefix_ids, grown[TRAINED][i][0].token_ids]), len(forks[i].prefix_ids), zs[0])
            for i, zs in zip(chosen, latents, strict=True)
        ]
        found[injection] = attention_effect(fitted, cases)
    return found


def _write(
    folder: Path, grown: Grown, found: dict[str, dict[str, Estimate]], attention: dict[str, AttentionEffect], reports: dict[str, dict]
) -> None:
    rows = [
        [name, b.fork, k, len(b.token_ids), b.answer or "", str(b.verdict), b.text]
        for name, forks in grown.items()
        for of in forks
        for k, b in enumerate(of)
    ]
    write_csv(folder / "branches.csv", ["variant", "fork", "branch", "tokens", "answer", "verdict", "text"], rows)
    draw_effects(found, folder)
    draw_kl({name: report["kl_per_dim"] for name, report in reports.items()}, folder)
    draw_attention(attention, folder)
    (folder / "latent.md").write_text(markdown(found, attention, reports), encoding="utf-8")


def markdown(found: dict[str, dict[str, Estimate]], attention: dict[str, AttentionEffect], reports: dict[str, dict]) -> str:
    """The tables: effects, fits, attention."""
    head = "| variant | " + " | ".join(MEASURES.values()) + " |\n|---|" + "---:|" * len(MEASURES) + "\n"
    effects = "".join(f"| {name} | " + " | ".join(_cell(name, of[key]) for key in MEASURES) + " |\n" for name, of in found.items())
    columns = ("objective", "steps", "elbo", "nll", "kl", "nll_without", "nll_prior", "nll_other", "active_units")
    fits = "| injection | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns) + "\n"
    fits += "".join(f"| {name} | " + " | ".join(_number(report[c]) for c in columns) + " |\n" for name, report in reports.items())
    moved = "| injection | mass on the slots, injected layers | attention moved, all layers | largest head |\n|---|---:|---:|---:|\n"
    for name, effect in attention.items():
        injected = effect.slot_mass[effect.slot_mass.any(1)]
        mass = f"{injected.mean():.4f}" if injected.size else "no slots"
        moved += f"| {name} | {mass} | {effect.moved.mean():.4f} | {effect.moved.max():.4f} |\n"
    return f"### Branches\n\n{head}{effects}\n### Fits\n\n{fits}\n### Attention\n\n{moved}"


def _cell(name: str, e: Estimate) -> str:
    if name == CONTROL:
        return f"{e.mean:.3f}"
    text = f"{e.mean:+.3f} [{e.low:+.3f}, {e.high:+.3f}]"
    return f"**{text}**" if e.excludes_zero else text


def _number(value: float | str) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _table(found: dict[str, dict[str, Estimate]]) -> Table:
    """Means for a terminal; the intervals are in latent.md."""
    table = Table("variant", *(key.replace("_", " ") for key in MEASURES), title_justify="left")
    table.title = "difference from the same forks without z; *: the 95 % interval excludes 0"
    for name, of in found.items():
        form = "{:.3f}" if name == CONTROL else "{:+.3f}"
        table.add_row(name, *(form.format(of[key].mean) + "*" * (name != CONTROL and of[key].excludes_zero) for key in MEASURES))
    return table
