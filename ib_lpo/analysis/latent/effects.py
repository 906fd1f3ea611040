"""What z does to branches: measures per fork, and their paired differences between variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ib_lpo import seeds
from ib_lpo.analysis.latent.forks import StudiedFork
from ib_lpo.bootstrap import Estimate, bootstrap
from ib_lpo.diversity.answers import answer_entropy
from ib_lpo.diversity.embeddings import pairwise_distance
from ib_lpo.diversity.ngrams import distinct, ngrams
from ib_lpo.latent.encoders import PrefixEncoder
from ib_lpo.manifest import Manifest
from ib_lpo.scoring.answer_classes import merged
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.answer_text import find_answer
from ib_lpo.scoring.grades import Grade
from ib_lpo.tree import Verdict

MEASURES = {
    "distance": "mean pairwise embedding distance (1 - cosine)",
    "distinct_4": "distinct-4 at equal tokens",
    "answer_entropy": "answer entropy, nats",
    "accuracy": "accuracy",
    "answered": "share of branches with an answer",
    "tokens": "new tokens per branch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One branch of a studied fork."""

    fork: str
    token_ids: np.ndarray  # int32, new tokens
    text: str  # of the new tokens
    answer: str | None  # of the whole response; equal ones of a fork and variant are spelled alike
    verdict: Verdict


Grown = Mapping[str, list[list[Branch]]]
"""Branches by variant, then by fork."""


def read_branches(
    forks: list[StudiedFork], token_ids: list[list[np.ndarray]], decode: Decode, grade: Callable[[list[tuple[str, str]]], list[Grade]]
) -> list[list[Branch]]:
    """Branches, with answers and verdicts of whole responses; token_ids by fork. `grade`: of (response, gold answer) pairs."""
    whole = [[decode([*fork.shared_ids.tolist(), *ids.tolist()]) for ids in of] for fork, of in zip(forks, token_ids, strict=True)]
    golds = [fork.question.answer for fork in forks]
    grades = iter(grade([(text, gold) for texts, gold in zip(whole, golds, strict=True) for text in texts]))
    stated = merged([[None if (one := find_answer(text)) is None else one.expression for text in texts] for texts in whole], grade)
    return [
        [
            Branch(fork=fork.id, token_ids=ids, text=decode(ids.tolist()), answer=answer, verdict=next(grades).verdict)
            for ids, answer in zip(of, answers, strict=True)
        ]
        for fork, of, answers in zip(forks, token_ids, stated, strict=True)
    ]


def measure(grown: Grown, encoder: PrefixEncoder) -> dict[str, dict[str, np.ndarray]]:
    """Measures [forks] by variant. distinct_4 of a fork is taken at the 4-grams of its shortest variant, NaN where that has none."""
    counts = {name: [ngrams([branch.token_ids.tolist() for branch in of], 4) for of in forks] for name, forks in grown.items()}
    sizes = [min(sum(c[i].values()) for c in counts.values()) for i in range(len(next(iter(grown.values()))))]
    return {name: _of_variant(forks, counts[name], sizes, encoder) for name, forks in grown.items()}


def _of_variant(forks: list[list[Branch]], counts: list, sizes: list[int], encoder: PrefixEncoder) -> dict[str, np.ndarray]:
    features = encoder([branch.token_ids for of in forks for branch in of]).numpy().reshape(len(forks), len(forks[0]), -1)
    right = [[branch.verdict is Verdict.CORRECT for branch in of] for of in forks]
    return {
        "distance": np.array([pairwise_distance(of) for of in features]),
        "distinct_4": np.array([distinct(c, size) if size else np.nan for c, size in zip(counts, sizes, strict=True)]),
        "answer_entropy": np.array([answer_entropy([branch.answer for branch in of]) for of in forks]),
        "accuracy": np.array([np.mean(of) for of in right]),
        "answered": np.array([np.mean([branch.answer is not None for branch in of]) for of in forks]),
        "tokens": np.array([np.mean([len(branch.token_ids) for branch in of]) for of in forks]),
    }


def differences(measured: dict[str, dict[str, np.ndarray]], base_name: str, manifest: Manifest) -> dict[str, dict[str, Estimate]]:
    """Variant minus base per fork, mean with interval, by variant; the base's own means stand under its name, first."""
    resamples, seed = manifest.analysis.latent.resamples, manifest.seed
    found: dict[str, dict[str, Estimate]] = {}
    for name in (base_name, *(other for other in measured if other != base_name)):
        values, base = measured[name], measured[base_name]
        if name == base_name:
            base = {key: np.zeros(len(column)) for key, column in values.items()}
        found[name] = {}
        for key in MEASURES:
            gap = values[key] - base[key]
            rng = seeds.generator(seed, "analysis", "bootstrap", key)
            found[name][key] = bootstrap(gap[np.isfinite(gap)], resamples=resamples, rng=rng)
    return found
