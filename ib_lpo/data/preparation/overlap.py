"""Which questions of a set overlap with a given one: by a run of n words in common, or, where one has fewer words, as wholes.

Symmetric: a overlaps with b as b does with a. Equal questions overlap however short they are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ib_lpo.data.preparation.text import normalise, words

Gram = tuple[str, ...]


def grams(sequence: Sequence[str], n: int) -> list[Gram]:
    """Runs of n items, in order, each once."""
    return list(dict.fromkeys(tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1)))


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a question has in common with one of the set."""

    key: str  # of the set's question
    share: float  # n-grams in common, of those of the question that has fewer; 1 where the two are equal
    text: str  # the first words in common, the whole question where the two are equal


class Overlaps:
    """An index of questions, by key."""

    def __init__(self, questions: Mapping[str, str], n: int):
        self._n = n
        self._wholes: dict[str, list[str]] = {}
        self._grams: dict[Gram, list[str]] = {}
        self._sizes: dict[str, int] = {}
        for key, question in questions.items():
            self._wholes.setdefault(normalise(question), []).append(key)
            of = grams(words(question), n)
            self._sizes[key] = len(of)
            for gram in of:
                self._grams.setdefault(gram, []).append(key)

    def of(self, question: str) -> list[Overlap]:
        """Those of the set that overlap with `question`, in the order in which they are first met."""
        found = {key: Overlap(key, 1.0, question) for key in self._wholes.get(normalise(question), ())}
        of = grams(words(question), self._n)
        counts, first = self._met(of)
        for key, count in counts.items():
            found.setdefault(key, Overlap(key, count / min(len(of), self._sizes[key]), " ".join(first[key])))
        return list(found.values())

    def _met(self, of: Iterable[Gram]) -> tuple[Counter[str], dict[str, Gram]]:
        counts: Counter[str] = Counter()
        first: dict[str, Gram] = {}
        for gram in of:
            for key in self._grams.get(gram, ()):
                counts[key] += 1
                first.setdefault(key, gram)
        return counts, first
