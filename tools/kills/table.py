"""The outcome of a campaign as Markdown, for docs/reliability.md."""

from collections import Counter
from statistics import median

from kills.campaign import KINDS, Kill

HEADER = "| killed | kills | the call that failed by it, or the moment aimed at | recovery, median s | largest s |\n|---|---|---|---|---|"


def rows(kills: list[Kill]) -> list[str]:
    """One row per kind."""
    return [_row(kind, of_kind) for kind in KINDS if (of_kind := [kill for kill in kills if kill.kind == kind])]


def _row(kind: str, kills: list[Kill]) -> str:
    met = ", ".join(f"{name} {count}" for name, count in Counter(kill.met for kill in kills).most_common())
    seconds = [kill.recovery_s for kill in kills if kill.recovery_s is not None]
    times = f"{median(seconds):.1f} | {max(seconds):.1f}" if seconds else "- | -"
    return f"| {kind} | {len(kills)} | {met} | {times} |"
