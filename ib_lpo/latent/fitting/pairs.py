"""(condition, target) pairs for the CVAE: a solution split at a step boundary (method.md section 1, the latent model).

Which pairs a step holds is a pure function of the manifest and the step's number, and they are made when the step asks for them, so a
resumed fit sees what an uninterrupted one sees. A solution follows its prompt as a response does: behind the chat template's opening of
the answer where there is one. A target has no end token: where solutions stop is the data set's manner, which z is not to spend itself on.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ib_lpo.data.prompts import prompt_tokens
from ib_lpo.data.questions import check_lengths
from ib_lpo.data.schedule import batch_indices
from ib_lpo.data.sources import DataError, Row, read_rows
from ib_lpo.manifest import Manifest
from ib_lpo.seeds import generator

_LINES = re.compile(r"\n(?:[^\S\n]*\n)*")  # with the blank lines after it
_SENTENCE = re.compile(r"(?<=[.!?])\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A condition c = prompt and first steps, and a target s = the steps after them, as one sequence."""

    id: str
    ids: np.ndarray  # int32 [L]
    start: int  # index of the target's first token, >= 1
    cut: bool  # whether the target was longer

    @property
    def condition(self) -> np.ndarray:
        return self.ids[: self.start]

    @property
    def target(self) -> np.ndarray:
        return self.ids[self.start :]


_Solution = tuple[Row, Sequence[int]]  # and its prompt's tokens


def steps_of(text: str) -> list[int]:
    """Where the steps of a solution begin, the first excepted: after line breaks, or after sentences where it is one line.

    A sentence begins with the space before it, as its first token does. `text` neither begins nor ends with white space.
    """
    return [match.end() for match in _LINES.finditer(text)] or [match.start() for match in _SENTENCE.finditer(text)]


class PairStream:
    """Training pairs by step, and pairs of held-out solutions, whose questions are never trained on.

    `unsplit` solutions are left out because they have no boundary to split at, `repeated` because their question is held out. No pair has
    more than `longest` tokens.
    """

    def __init__(self, manifest: Manifest, tokenizer: Any):
        """Raises DataError for a source without solutions, or one with too few that can be split."""
        fit, data, limits = manifest.latent_fit, manifest.data, manifest.rollout
        key, source = ("data.train", data.train) if fit.data is None else ("latent_fit.data", fit.data)
        if source.solution_column is None:
            raise DataError(f"{key}.solution_column: absent; name the column with worked solutions, which the latent is fitted to")
        self._fit, self._seed, self._tokenizer = fit, manifest.seed, tokenizer
        self._last_fork = limits.max_response_tokens
        rows = read_rows(source)
        prompts = prompt_tokens([row.question for row in rows], data, tokenizer)
        check_lengths(rows, prompts, limits.max_prompt_tokens)
        usable, self.longest = self._usable(zip(rows, prompts, strict=True))
        self.unsplit = len(rows) - len(usable)
        self._held_out, self._train = self._divide(usable)
        self.repeated = len(usable) - len(self._held_out) - len(self._train)
        if len(self._train) < fit.solutions_per_step:
            raise DataError(
                f"{key}: of {len(rows)} solutions {len(usable)} have a step boundary to split at; without the latent_fit.held_out="
                f"{fit.held_out} held out and {self.repeated} more of the same questions {len(self._train)} are left, less than "
                f"latent_fit.solutions_per_step={fit.solutions_per_step}; give more, or lower one"
            )

    def step(self, number: int) -> list[list[Pair]]:
        """The pairs of optimiser step `number` (>= 1), those of one solution together."""
        fit = self._fit
        chosen = batch_indices(number - 1, questions=len(self._train), per_batch=fit.solutions_per_step, seed=self._seed, shuffle=True)
        return [self._pairs(*self._train[i], fit.pairs_per_solution, number) for i in chosen]

    def held_out(self) -> list[list[Pair]]:
        """One pair of every held-out solution."""
        return [self._pairs(row, prompt, 1, 0) for row, prompt in self._held_out]

    def _usable(self, solutions: Iterable[_Solution]) -> tuple[list[_Solution], int]:
        """Those that can be split, and the tokens of the longest sequence that they make."""
        usable, longest = [], 0
        for row, prompt in solutions:
            ids, boundaries = self._tokenise(row)
            if boundaries:
                usable.append((row, prompt))
                longest = max(longest, len(prompt) + min(len(ids), boundaries[-1] + self._fit.max_target_tokens))
        return usable, longest

    def _divide(self, usable: list[_Solution]) -> tuple[list[_Solution], list[_Solution]]:
        """Held-out solutions, drawn from all of the source, and those of other questions."""
        order = generator(self._seed, "fit", "held out").permutation(len(usable))
        chosen = set(order[: self._fit.held_out].tolist())
        held_out = [solution for i, solution in enumerate(usable) if i in chosen]
        questions = {row.question for row, _ in held_out}
        return held_out, [(row, prompt) for row, prompt in usable if row.question not in questions]

    def _pairs(self, row: Row, prompt: Sequence[int], count: int, number: int) -> list[Pair]:
        ids, boundaries = self._tokenise(row)
        chosen = generator(self._seed, "fit", "split", number, row.id).permutation(boundaries)[:count]
        longest = self._fit.max_target_tokens
        return [
            Pair(
                id=f"{row.id}@{at}",
                ids=np.concatenate([prompt, ids[: at + longest]]).astype(np.int32),
                start=len(prompt) + int(at),
                cut=len(ids) > at + longest,
            )
            for at in sorted(chosen)
        ]

    def _tokenise(self, row: Row) -> tuple[list[int], list[int]]:
        """A solution's tokens, and the indices it may be split at: a step begins with the first token that begins in it."""
        text = row.solution.strip()
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = [start for start, _ in encoded["offset_mapping"]]
        found = {int(np.searchsorted(starts, at)) for at in steps_of(text)}
        last = min(len(starts) - self._fit.min_target_tokens, self._last_fork)
        return encoded["input_ids"], sorted(at for at in found if 0 < at <= last)
