"""`ib-lpo analyze latent`: what z adds to branches, against the same forks without z.

    runs/<name>-analysis/   latent.md             the tables
                            branches.csv          every branch: variant, fork, tokens, answer, verdict, text; grows with the study
                            latent_effects.*      differences from the control, with bootstrap intervals
                            latent_kl.*           KL per dimension of the fitted latents
                            latent_attention.*    attention under each injection, layer by head

Every branch of a fork resumes at the same prefix with the same sampling seed under all variants, and may take equally many tokens.
"""

from pathlib import Path

import numpy as np
from rich import get_console
from transformers import PreTrainedTokenizerBase

from ib_lpo.analysis.latent.attention import AttentionEffect, attention_effect
from ib_lpo.analysis.latent.effects import Branch, Grown, differences, measure, read_branches
from ib_lpo.analysis.latent.figures import draw_attention, draw_effects, draw_kl
from ib_lpo.analysis.latent.forks import StudiedFork, find_forks
from ib_lpo.analysis.latent.tables import append_branches, markdown, shown
from ib_lpo.analysis.latent.variants import CONTROL, MEAN, TRAINED, branches, latents_of, variants, with_injection
from ib_lpo.analysis.roots import build_embedding, open_folder, require_room
from ib_lpo.data.questions import load_questions
from ib_lpo.errors import UserError
from ib_lpo.latent.encoders import PrefixEncoder
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.prior import build_prior
from ib_lpo.latent.store import has_maps, read_report
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer, text_decoder
from ib_lpo.progress import say
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.serving import Serving
from ib_lpo.tree import Question


def analyze(manifest: Manifest) -> Path:
    """Run the study; returns the directory with its results. Raises UserError, before anything is generated, for what does not fit."""
    fitted = _fitted(manifest)
    reports = {name: read_report(one.latent.weights) for name, one in fitted.items()}
    encoder = build_embedding(manifest.analysis.latent.embedding, manifest.model, "analysis.latent")
    tokenizer = load_tokenizer(manifest.model)
    folder = open_folder(manifest)
    forks, grown = _grow(manifest, _questions(manifest, tokenizer), text_decoder(tokenizer), folder / "branches.csv")
    attention = _attention(fitted, forks, grown)
    _write(folder, manifest, grown, encoder, attention, reports)
    say(f"written to {folder}")
    return folder


def _fitted(manifest: Manifest) -> dict[str, Manifest]:
    """By injection the manifest with its latent; the manifest's own first. Raises UserError unless all can be used."""
    latent, chosen = manifest.latent, manifest.analysis.latent
    if latent.kind != "cvae":
        raise UserError(f"latent.kind={latent.kind}: the study compares a trained z with none; set cvae and latent.weights")
    if latent.injection in chosen.injections:
        raise UserError(f"analysis.latent.injections.{latent.injection}: is latent.injection, whose latent is latent.weights; remove it")
    require_room(manifest, "analysis.latent", chosen.tokens)
    config = load_config(manifest.model)
    weights = {latent.injection: latent.weights} | chosen.injections
    found = {name: with_injection(manifest, name, path) for name, path in weights.items()}
    for one in found.values():
        build_prior(one)
        if not has_maps(one, MapShape.of(config, one.latent)):
            raise UserError(f"latent.weights={str(one.latent.weights)!r}: holds no maps of z; fit it with latent_fit.objective=lm")
    return found


def _questions(manifest: Manifest, tokenizer: PreTrainedTokenizerBase) -> list[Question]:
    return load_questions(manifest.data.train, manifest.data, tokenizer, max_prompt_tokens=manifest.rollout.max_prompt_tokens)


def _grow(manifest: Manifest, questions: list[Question], decode: Decode, record: Path) -> tuple[list[StudiedFork], Grown]:
    """Forks, and their branches under every variant, graded and recorded."""
    compared, width = variants(manifest), manifest.analysis.latent.branches

    def find(engine: Serving) -> list[StudiedFork]:
        forks = find_forks(manifest, questions, engine, decode)
        say(f"{len(forks)} forks, {len(compared)} variants of {width} branches each")
        record.unlink(missing_ok=True)
        return forks

    verifier, grown = Verifier(manifest.verifier), {}
    try:
        for variant, forks, generations in branches(compared, find):
            ids = [[generations[f"{fork.id}/b{k}"].token_ids for k in range(width)] for fork in forks]
            grown[variant.name] = read_branches(forks, ids, decode, verifier.grade)
            append_branches(record, variant.name, grown[variant.name])
            say(f"{variant.name}: {_tokens(grown[variant.name])} tokens")
    finally:
        verifier.close()
    return forks, grown


def _tokens(forks: list[list[Branch]]) -> int:
    return sum(len(branch.token_ids) for of in forks for branch in of)


def _attention(fitted: dict[str, Manifest], forks: list[StudiedFork], grown: Grown) -> dict[str, AttentionEffect]:
    """Of each injection, with the first z of its own prior, all on the same tokens: those of branch 0 under the manifest's z."""
    found = {}
    for injection, manifest in fitted.items():
        say(f"attention under {injection}")
        chosen = forks[: manifest.analysis.latent.attention_forks]
        cases = [
            (np.concatenate([fork.prefix_ids, of[0].token_ids]), len(fork.prefix_ids), zs[0])
            for fork, of, zs in zip(chosen, grown[TRAINED], latents_of(manifest, chosen), strict=False)
        ]
        found[injection] = attention_effect(manifest, cases)
    return found


def _write(
    folder: Path,
    manifest: Manifest,
    grown: Grown,
    encoder: PrefixEncoder,
    attention: dict[str, AttentionEffect],
    reports: dict[str, dict],
) -> None:
    measured = measure(grown, encoder)
    of_control = differences(measured, CONTROL, manifest)
    of_mean = differences({name: values for name, values in measured.items() if name.startswith("z")}, MEAN, manifest)
    draw_effects(of_control, of_mean, folder)
    draw_kl({name: report["kl_per_dim"] for name, report in reports.items()}, folder)
    draw_attention(attention, folder)
    (folder / "latent.md").write_text(markdown(of_control, of_mean, attention, reports), encoding="utf-8")
    for table in (shown(of_control, CONTROL), shown(of_mean, MEAN)):
        get_console().print(table)
