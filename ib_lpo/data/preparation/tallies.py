"""How the samples of questions turned out, kept on disk as they come in.

A line of the file is whole or, after a kill, the last one: that one is dropped. A key stands for all that its tally depends on.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ib_lpo.errors import UserError
from ib_lpo.tracking import replace_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The samples of one question."""

    correct: int
    wrong: int  # or without an answer
    unverifiable: int
    truncated: int  # of all samples, whatever their verdict
    tokens: int  # of all samples

    @property
    def pass_rate(self) -> float | None:
        """Share of correct ones among those that could be verified, None without any."""
        verified = self.correct + self.wrong
        return self.correct / verified if verified else None


class Record:
    """Tallies by key, in a file that grows; a context manager."""

    def __init__(self, path: Path):
        """Raises UserError when the file at `path` is not one of these."""
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0] if path.exists() else ""
        lines = [line for line in whole.split("\n") if line]
        try:
            self.tallies = {record["key"]: Tally(**record["tally"]) for record in map(json.loads, lines)}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error!r}); remove it, and pass rates are measured anew") from None
        replace_text(path, "".join(f"{line}\n" for line in lines))
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "Record":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, identity: str, tally: Tally) -> None:
        """On return the tally is in the file; `identity` is for readers."""
        self._file.write(json.dumps({"key": key, "id": identity, "tally": asdict(tally)}) + "\n")
        self._file.flush()
        self.tallies[key] = tally
