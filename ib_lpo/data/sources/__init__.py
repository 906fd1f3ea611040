"""Where questions come from: a registry by `SourceConfig.kind`. Adding a source is adding a file and a line here.

Every source returns the same rows in the same order each time; rows have unique ids and answers that are not empty.
"""

from collections.abc import Callable

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources.file import read_file
from ib_lpo.data.sources.hub import read_hub
from ib_lpo.data.sources.reasoning_gym import generate
from ib_lpo.data.sources.row import DataError, Row

__all__ = ["SOURCES", "DataError", "Row", "read_rows"]

SOURCES: dict[str, Callable[[SourceConfig], list[Row]]] = {"reasoning_gym": generate, "file": read_file, "hub": read_hub}


def read_rows(source: SourceConfig) -> list[Row]:
    """The rows of `source`, at most `source.size`. Raises DataError with one line."""
    return SOURCES[source.kind](source)
