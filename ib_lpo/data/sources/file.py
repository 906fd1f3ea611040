"""Questions from a local .jsonl, .parquet or .csv file, in file order. Cells of a .csv stay text: `007` is not 7."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ib_lpo.data.config import SourceConfig
from ib_lpo.data.sources.row import DataError, Row, from_records

Records = list[dict[str, Any]]
_MOST_CHARS = 1 << 30  # of a cell of a .csv file


def read_file(source: SourceConfig) -> list[Row]:
    """The file's rows. Raises DataError when it is absent, of another kind, malformed, or breaks a rule of `from_records`."""
    path = source.path
    if path is None:
        raise DataError("data kind=file: path is absent; add the .jsonl, .parquet or .csv file")
    if path.suffix not in READERS:
        raise DataError(f"{path}: the ending is not one of {', '.join(READERS)}; convert the file")
    try:
        records = READERS[path.suffix](path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; correct the path, which is relative to the working directory") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert it") from None
    except (OSError, csv.Error, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as {path.suffix} ({reason}); repair it, or correct its ending") from None
    columns = list(dict.fromkeys(column for record in records for column in record))
    return from_records(records, columns, source, where=str(path), prefix=path.stem)


def _jsonl(path: Path) -> Records:
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            raise DataError(f"{path}:{number}: nested too deeply to be read; one flat object per line is expected") from None
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON ({error}); one object per line is expected") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: a {type(record).__name__}, not an object; one object per line is expected")
        records.append(record)
    return records


def _parquet(path: Path) -> Records:
    return pq.read_table(path).to_pylist()


def _csv(path: Path) -> Records:
    csv.field_size_limit(_MOST_CHARS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        records = []
        for record in reader:
            if None in record:
                raise DataError(f"{path}:{reader.line_num}: more cells than the header has columns; quote cells that hold commas")
            records.append(record)
    return records


READERS: dict[str, Callable[[Path], Records]] = {".jsonl": _jsonl, ".parquet": _parquet, ".csv": _csv}
