"""The examples of failures.md: chosen by a rule, never by hand, with the evidence marked in the text.

The rule, per kind: the N clearest trajectories, no two of one question; ties go to the lower S_IB, the earlier step, the lower id. Clearest
is the largest drop of a drift, the lowest compressed share of a loop, the longest stretch of fluff, the lowest S_IB of what is unexplained.
"""

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from ib_lpo.analysis.failures.rows import UNEXPLAINED, Scored
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.tree import Failure, FailureMode, natural_order

OPEN, CLOSE, FORK = "⟦", "⟧", "⟨fork⟩"
_CLEAREST: dict[str, tuple[str, Callable[[Failure], float]]] = {
    FailureMode.EMPTY_FLUFF: ("the longest stretches over which I(r;a) does not rise", lambda f: f.start - f.end),
    FailureMode.REPETITIVE_LOOP: ("the stretches whose text compresses best", lambda f: f.measure),
    FailureMode.LOGICAL_DRIFT: ("the largest drops of I(r;a)", lambda f: -f.measure),
}
_MEASURES = {
    FailureMode.EMPTY_FLUFF: "gain of I(r;a) {:+.3f} nats per answer token",
    FailureMode.REPETITIVE_LOOP: "compresses to {:.2f} of its bytes",
    FailureMode.LOGICAL_DRIFT: "drop of I(r;a) {:.3f} nats per answer token",
}
_PER_ANSWER_TOKEN = ("nats per answer token", "nats per reference token")
_UNITS = {"pmi": _PER_ANSWER_TOKEN, "rate": _PER_ANSWER_TOKEN, "advantage_entropy": ("nats times reward", "nats")}
"""Of relevance and compression, by estimator; others: nats."""
SHOWN = (*map(str, FailureMode), UNEXPLAINED)


def choose(everyone: Sequence[Scored], kind: str, count: int) -> list[Scored]:
    """The `count` clearest of a kind in SHOWN, the clearest first."""
    ranked = sorted((one for one in everyone if kind in one.kinds), key=lambda one: _clearness(one, kind))
    first_of = {one.question: one for one in reversed(ranked)}
    return [one for one in ranked if first_of[one.question] is one][:count]


def rule(kind: str) -> str:
    """What is shown of a kind, in words."""
    return _CLEAREST[kind][0] if kind in _CLEAREST else "the lowest S_IB"


def marked(response_ids: np.ndarray, prefix_length: int, evidence: Failure | None, decode: Decode) -> str:
    """The response's text with its fork and the evidence [start, end) marked."""
    marks = [(prefix_length, FORK)] if prefix_length else []
    if evidence is not None:
        marks += [(evidence.start, OPEN), (evidence.end, CLOSE)]
    whole = decode(response_ids.tolist())
    pieces, done = [], 0
    for position, mark in sorted(marks, key=lambda mark: mark[0]):
        cut = max(done, _characters(whole, decode(response_ids[:position].tolist())))
        pieces += [whole[done:cut], mark]
        done = cut
    return "".join([*pieces, whole[done:]])


def entry(one: Scored, kind: str, question: str, answer: str, text: str) -> str:
    """An example as Markdown."""
    failure = evidence_of(one, kind)
    relevance, compression = _UNITS.get(one.ib.estimator, ("nats", "nats"))
    lines = [
        f"### step {one.step}, `{one.id}`: {one.verdict or 'not graded'}{'' if np.isnan(one.reward) else f', reward {one.reward:g}'}",
        f"S_IB {one.ib.score:+.3f}: I(r;a) {one.ib.relevance:+.3f} {relevance} (z {one.ib.relevance_z:+.2f}), "
        f"I(q;r) {one.ib.compression:+.3f} {compression} (z {one.ib.compression_z:+.2f}). {one.response_tokens} tokens, {one.status}.",
    ]
    if failure is not None:
        measured = _MEASURES[failure.mode].format(failure.measure)
        lines.append(f"Evidence: tokens {failure.start} to {failure.end}, {measured}.")
    return "\n\n".join([*lines, f"Question (gold answer `{answer}`):", _fenced(question), "Response:", _fenced(text)])


def evidence_of(one: Scored, kind: str) -> Failure | None:
    """The evidence of the mode, None for `unexplained`."""
    return next((failure for failure in one.failures if failure.mode == kind), None)


def _clearness(one: Scored, kind: str) -> tuple[Any, ...]:
    failure = evidence_of(one, kind)
    measure = 0.0 if failure is None else _CLEAREST[kind][1](failure)
    return measure, one.ib.score, one.step, natural_order(one.id)


def _characters(whole: str, part: str) -> int:
    """Where in `whole` the text of its first tokens ends; tokens that end inside a character are cut before it."""
    same = (a == b for a, b in zip(whole, part, strict=False))
    return sum(1 for _ in takewhile(bool, same))


def _fenced(text: str) -> str:
    """A code block that no backticks of the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
