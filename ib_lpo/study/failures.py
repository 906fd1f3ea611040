"""Runs that failed: what is kept of them until they are tried again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ib_lpo.redaction import redact
from ib_lpo.study.layout import Layout
from ib_lpo.study.plan import PlannedRun
from ib_lpo.tracking import replace_text

_LINES = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed."""

    run: str
    code: int  # exit status; negative: the signal that ended it
    lines: list[str]  # the last ones that it printed

    @property
    def told(self) -> str:
        """In one line: how it ended, and the last line that it printed."""
        how = f"signal {-self.code}" if self.code < 0 else f"exit status {self.code}"
        last = next((line for line in reversed(self.lines) if line.strip()), "")
        return f"{self.run}: {how}" + (f": {last.strip()}" if last else "")


def keep_failure(run: PlannedRun, layout: Layout, code: int, why: str) -> Failure:
    """From the end of its log, and `why`, what the log does not say."""
    failure = Failure(run.name, code, [*last_lines(layout.log(run)), *([redact(why)] if why else [])])
    replace_text(layout.failure(run), json.dumps(asdict(failure)))
    return failure


def read_failure(run: PlannedRun, layout: Layout) -> Failure | None:
    """None when it has not failed since it was started last."""
    path = layout.failure(run)
    return Failure(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def last_lines(log: Path) -> list[str]:
    """Of a log, without the secrets in them."""
    if not log.exists():
        return []
    return [redact(line) for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]]
