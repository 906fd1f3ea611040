"""`ib-lpo show`: one rollout tree in the terminal."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ib_lpo.errors import UserError
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.report.records import short_id
from ib_lpo.report.token_text import TokenTexts
from ib_lpo.run_directory import RunDirectory
from ib_lpo.scoring.siblings import sibling_sets
from ib_lpo.tree import Fork, Label, RolloutTree, Trajectory, Verdict

_VERDICTS = {
    Verdict.CORRECT: ("correct", "blue"),
    Verdict.WRONG: ("wrong", "red"),
    Verdict.NO_ANSWER: ("no answer", "magenta"),
    Verdict.UNVERIFIABLE: ("unverifiable", "yellow"),
    None: ("not graded", "yellow"),
}
_LABELS = {
    Label.ROOT: "root",
    Label.TOP: "among the best",
    Label.PRUNED: "below the best",
    Label.UNSCORED: "scoring is off",
    Label.UNVERIFIABLE: "no reward",
}
_BEFORE, _AFTER = 12, 24  # tokens of text shown before and from a fork


def show(run: Path, step: int, question: str | None = None) -> None:
    """Print the tree of `question`, or the first of the step. Raises UserError for a step or question that is not there."""
    directory = RunDirectory(run)
    trees = directory.trees(step)
    texts = TokenTexts(load_tokenizer(directory.manifest.model))
    for tree in _chosen(trees, question, directory, step):
        Console(highlight=False).print(render(tree, directory, step, texts))


def render(tree: RolloutTree, directory: RunDirectory, step: int, texts: TokenTexts) -> Tree:
    """The tree as rich draws it: roots, under each the places where branches leave, under each its branches, and so on down."""
    question = tree.question
    head = Text.assemble((question.id, "bold"), (f"  {directory.name}, step {step}\n", "dim"), _lines(question.text), "\n")
    drawn = Tree(head + Text.assemble(("gold answer ", "dim"), (_lines(question.answer), "bold")), guide_style="dim")
    compared = {t.id: len(siblings) for siblings in sibling_sets(tree, directory.manifest.filter.scope) for t in siblings}
    for root in tree.roots:
        _add(drawn, tree, root, compared, texts)
    return drawn


def _chosen(trees: Sequence[RolloutTree], question: str | None, directory: RunDirectory, step: int) -> list[RolloutTree]:
    ids = [tree.question.id for tree in trees]
    if not trees:
        raise UserError(f"{directory.path}: step {step} has no trees; choose another step")
    if question is None:
        return [trees[0]]
    found = [tree for tree in trees if tree.question.id == question]
    if not found:
        near = difflib.get_close_matches(question, ids, n=3, cutoff=0.0)
        raise UserError(f"{directory.path}: step {step} has no question {question!r}; it has {len(ids)}, such as {', '.join(near)}")
    return found


def _add(parent: Tree, tree: RolloutTree, trajectory: Trajectory, compared: dict[str, int], texts: TokenTexts) -> None:
    pieces = texts.pieces(trajectory.response_ids)
    node = parent.add(_line(tree, trajectory, compared[trajectory.id], pieces))
    branches = tree.branches(trajectory)
    for fork in sorted({branch.fork for branch in branches}, key=lambda fork: fork.position):
        place = node.add(_fork_line(fork, pieces))
        for branch in branches:
            if branch.fork == fork:
                _add(place, tree, branch, compared, texts)


def _line(tree: RolloutTree, t: Trajectory, compared: int, pieces: Sequence[str]) -> Text:
    verdict, colour = _VERDICTS[t.verdict]
    parts = [f"reward {t.reward:.2f}" if t.reward is not None else "no reward"]
    if t.ib is not None:
        parts.append(f"S_IB {t.ib.score:+.2f}")
    if t.rank is not None:
        parts.append(f"rank {t.rank}/{compared}")
    if t.advantage is not None:
        by_segment = ", ".join(f"{s.advantage:+.2f}" for s in t.segments)
        parts.append(f"adv. {t.advantage:+.2f}" + f" ({by_segment})" * bool(by_segment))
    fate = "kept" if t.kept else "filtered out"
    why = f"{fate} ({_LABELS[t.label]})" if t.label else fate
    line = Text.assemble((short_id(tree, t.id), "bold"), "  ", (verdict, colour), "  ", "  ".join(parts))
    line.append(f"\n{why}, {t.status}, {len(t.token_ids)} own tokens of {len(pieces)}", "" if t.kept else "dim")
    for failure in t.failures:
        line.append(f"\n{failure.mode.replace('_', ' ')}, tokens {failure.start} to {failure.end}", "magenta")
    return line.append_text(_excerpt(t, pieces))


def _fork_line(fork: Fork, pieces: Sequence[str]) -> Text:
    text = _one_line(pieces[fork.position : fork.position + 1])
    return Text.assemble((f"fork at token {fork.position}", "cyan"), f", entropy {fork.entropy:.2f} nats, ", (repr(text), "bold cyan"))


def _excerpt(t: Trajectory, pieces: Sequence[str]) -> Text:
    """The text around the fork, or where a root begins."""
    start = len(t.prefix_ids)
    before = _one_line(pieces[max(0, start - _BEFORE) : start])
    after = _one_line(pieces[start : start + _AFTER])
    ends = ("..." if start > _BEFORE else "", "..." if start + _AFTER < len(pieces) else "")
    return Text.assemble("\n", (ends[0] + before, "dim"), (" | " if start else "", "cyan"), after, (ends[1], "dim"))


def _lines(text: str) -> str:
    return "\n".join(_one_line([line]) for line in text.strip().splitlines())


def _one_line(pieces: Sequence[str]) -> str:
    """Printable on one line: what a model wrote must not steer the terminal."""
    text = "".join(pieces).replace("\n", "\u21b5").replace("\t", " ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
