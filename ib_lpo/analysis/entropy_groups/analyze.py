"""`ib-lpo analyze entropy-groups`: do decoding strategies differ most where tokens are uncertain (method.md section 0, observation 1)?

runs/<name>-analysis/   entropy_groups.png           a panel per measure, a colour per strategy
                        entropy_groups.csv           a row per group, strategy and measure, with intervals over roots
                        entropy_groups_samples.csv   every continuation
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
from rich import get_console

from ib_lpo.analysis.config import EntropyGroupsConfig
from ib_lpo.analysis.entropy_groups.decoding import decode_on, has_z, request_id, strategies
from ib_lpo.analysis.entropy_groups.figure import draw_groups, table_of
from ib_lpo.analysis.entropy_groups.measures import MEASURES, Row, Sets, estimates, measured
from ib_lpo.analysis.entropy_groups.positions import Positions, find_positions
from ib_lpo.analysis.figures import write_csv
from ib_lpo.analysis.latent.effects import Branch, read_branches
from ib_lpo.analysis.roots import build_embedding, open_folder, require_room
from ib_lpo.analysis.runs.intervals import numbers
from ib_lpo.data.questions import load_questions
from ib_lpo.errors import UserError
from ib_lpo.latent.injection import MapShape
from ib_lpo.latent.prior import build_prior
from ib_lpo.latent.store import has_maps
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_config, load_tokenizer, text_decoder
from ib_lpo.progress import say
from ib_lpo.rollout.config import RESERVED_ROWS
from ib_lpo.rollout.limits import check_context
from ib_lpo.rollout.request import Generation
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.serving import serving

SECTION = "analysis.entropy_groups"


def analyze(manifest: Manifest) -> Path:
    """Run the study; returns the directory with its results. Raises UserError, before a policy is loaded, for what does not fit."""
    config = manifest.analysis.entropy_groups
    manifest = _checked(manifest)
    tokenizer = load_tokenizer(manifest.model)
    questions = load_questions(manifest.data.train, manifest.data, tokenizer, max_prompt_tokens=manifest.rollout.max_prompt_tokens)
    if len(questions) < config.roots:
        raise UserError(f"{SECTION}.roots={config.roots}: data.train has {len(questions)} questions, and each gives one root; lower it")
    encoder = build_embedding(config.embedding, manifest.model, SECTION)
    decode, folder = text_decoder(tokenizer), open_folder(manifest)
    with serving(manifest) as engine:
        positions = find_positions(manifest, questions, engine, decode)
        found = decode_on(manifest, positions, strategies(manifest), engine)
    sets = _graded(manifest, positions, found, decode)
    rows = estimates(measured(sets, encoder), resamples=config.resamples, seed=manifest.seed)
    _write(folder, manifest, positions, sets, rows)
    return folder


def _checked(manifest: Manifest) -> Manifest:
    """The manifest to serve with, without a latent where nothing is sampled with z. Raises UserError."""
    config = manifest.analysis.entropy_groups
    require_room(manifest, SECTION, config.tokens)
    require_groups(config)
    if (last := strategies(manifest)[-1]).with_z and last.name in config.strategies:
        raise UserError(f"{SECTION}.strategies: {last.name!r} is the name of the strategy with z; choose another, or set {SECTION}.z=false")
    model = load_config(manifest.model)
    if not has_z(manifest):
        manifest = manifest.model_copy(update={"latent": manifest.latent.model_copy(update={"kind": "none", "weights": None})})
    elif manifest.latent.kind != "cvae":
        raise UserError(
            f"{SECTION}.z=true: z is drawn from a trained prior, but latent.kind={manifest.latent.kind}; set latent.kind=cvae and "
            f"latent.weights, or {SECTION}.z=null"
        )
    else:
        _require_handles(manifest)
        build_prior(manifest)
        if not has_maps(manifest, MapShape.of(model, manifest.latent)):
            raise UserError(f"latent.weights={str(manifest.latent.weights)!r}: holds no maps of z; fit it with latent_fit.objective=lm")
    check_context(manifest, model)
    return manifest


def _require_handles(manifest: Manifest) -> None:
    """Raise UserError when the engine cannot tell all latents of the study apart."""
    config, slots = manifest.analysis.entropy_groups, manifest.latent.psa.k_slots
    latents = config.roots * len(config.groups) * config.positions * config.continuations
    if latents > (handles := (RESERVED_ROWS - 1) ** slots):
        raise UserError(
            f"latent.psa.k_slots={slots}: gives an engine {handles} slot handles, and the study has {latents} latents; raise it, or lower "
            f"{SECTION}.roots"
        )


def require_groups(config: EntropyGroupsConfig) -> None:
    """Raise UserError unless every group is a range of quantiles that begins where the one before it ended, or above."""
    below, name_below = 0.0, ""
    for name, (low, high) in config.groups.items():
        if not low < high:
            raise UserError(f"{SECTION}.groups.{name}=[{low:g}, {high:g}]: holds no position; give quantiles [from, to) with from < to")
        if low < below:
            raise UserError(
                f"{SECTION}.groups.{name}=[{low:g}, {high:g}]: begins below {below:g}, where the group {name_below} ends; part them"
            )
        below, name_below = high, name


def _graded(manifest: Manifest, positions: Positions, found: Mapping[str, Generation], decode: Decode) -> Sets:
    """The continuations, with answers and verdicts of whole responses; equal answers of a position and strategy are spelled alike."""
    config = manifest.analysis.entropy_groups
    verifier, sets = Verifier(manifest.verifier), {}
    try:
        for group, strategy in product(config.groups, strategies(manifest)):
            places = [place for root in positions for place in root[group]]
            ids = [[found[request_id(place, strategy, k)].token_ids for k in range(config.continuations)] for place in places]
            graded = iter(read_branches(places, ids, decode, verifier.grade))
            sets[group, strategy.name] = [[next(graded) for _ in root[group]] for root in positions]
    finally:
        verifier.close()
    return sets


def _write(folder: Path, manifest: Manifest, positions: Positions, sets: Sets, rows: list[Row]) -> None:
    config = manifest.analysis.entropy_groups
    _write_csvs(folder, positions, sets, rows)
    entropies = {group: float(np.mean([place.entropy for root in positions for place in root[group]])) for group in config.groups}
    places = {group: float(np.mean([place.shared_ids.size for root in positions for place in root[group]])) for group in config.groups}
    ranges = ", ".join(
        f"{name}: quantiles {low:g} to {high:g} (at token {places[name]:.0f})" for name, (low, high) in config.groups.items()
    )
    caption = (
        f"{manifest.name}: {config.continuations} continuations of at most {config.tokens} tokens from every position of {len(positions)} "
        f"roots; means over roots, 95 % bootstrap intervals\npositions by entropy within their root, {ranges}"
    )
    draw_groups(rows, entropies, caption, folder / "entropy_groups.png")
    get_console().print(table_of(rows, list(config.groups)))
    say(f"written to {folder}: entropy_groups.png, entropy_groups.csv, entropy_groups_samples.csv")


def _write_csvs(folder: Path, positions: Positions, sets: Sets, rows: list[Row]) -> None:
    head = ["group", "strategy", "measure", "unit", "mean", "low", "high", "roots"]
    values = [(r.group, r.strategy, r.measure, MEASURES[r.measure][1], r.estimate, r.roots) for r in rows]
    write_csv(folder / "entropy_groups.csv", head, [[*key, *numbers(e), n] for *key, e, n in values])
    samples = [
        [place.question.id, group, place.shared_ids.size, f"{place.entropy:.4f}", strategy, k, *_sample(branch)]
        for (group, strategy), of_roots in sets.items()
        for root, of_root in zip(positions, of_roots, strict=True)
        for place, branches in zip(root[group], of_root, strict=True)
        for k, branch in enumerate(branches)
    ]
    head = ["question", "group", "position", "entropy", "strategy", "continuation", "tokens", "answer", "verdict", "text"]
    write_csv(folder / "entropy_groups_samples.csv", head, samples)


def _sample(branch: Branch) -> list:
    return [len(branch.token_ids), branch.answer or "", str(branch.verdict), branch.text]
