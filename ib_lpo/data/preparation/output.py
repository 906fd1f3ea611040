"""The prepared questions on disk: byte-identical for the same questions, never half-written, and a source for data.train.

{kind: file, path: questions.parquet, id_column: id}
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.sources import Row
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "question": pa.string(),
        "answer": pa.string(),
        "solution": pa.string(),  # "" without any
        "source": pa.string(),
        "pass_rate": pa.float64(),  # null: not measured
    }
)


def output_path(manifest: Manifest) -> Path:
    """`prepare.out`, or its default. Its folder is made; raises UserError when it cannot be written, or a source would be overwritten."""
    path = manifest.prepare.out or manifest.runs_dir / f"{manifest.name}-data" / "questions.parquet"
    for name, source in manifest.prepare.sources.items():
        if source.kind == "file" and source.path is not None and source.path.resolve() == path.resolve():
            raise UserError(f"prepare.out={path}: is the file of prepare.sources.{name}, which would be overwritten; choose another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written ({error.strerror}); set prepare.out or runs_dir to a folder of yours") from None
    return path


def write_questions(path: Path, questions: Sequence[Candidate]) -> None:
    """Replace `path` by the questions, in one step."""
    columns = [pa.array([getattr(question, name) for question in questions], SCHEMA.field(name).type) for name in SCHEMA.names]
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), partial, compression="zstd")
    partial.replace(path)


def rows_digest(rows: Iterable[Row]) -> str:
    """SHA-256 of what was read from a source, wherever it came from."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
