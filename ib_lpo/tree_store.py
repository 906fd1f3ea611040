"""Rollout trees on disk: parquet, one row per trajectory, lossless.

`read_trees(write_trees(...))` gives equal trees, token ids and float32 arrays bit for bit. A file is complete or absent: it is
written under another name and renamed.
"""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ib_lpo.errors import UserError
from ib_lpo.tree import Failure, FailureMode, Fork, IbScore, Label, Question, RolloutTree, Segment, Status, Trajectory, Verdict, VersionSpan

_IDS, _FLOATS = pa.list_(pa.int32()), pa.list_(pa.float32())
_QUESTION = {
    "id": pa.string(),
    "text": pa.string(),
    "answer": pa.string(),
    "prompt_ids": _IDS,
    "answer_ids": _IDS,
    "lead_ids": _IDS,
    "empty_prompt_ids": _IDS,
    "informed_prompt_ids": _IDS,
}
_FORK = {"position": pa.int32(), "entropy": pa.float64(), "candidates": pa.int32(), "prefix_length": pa.int32()}
_IB = {
    "estimator": pa.string(),
    "relevance": pa.float64(),
    "compression": pa.float64(),
    "relevance_z": pa.float64(),
    "compression_z": pa.float64(),
    "score": pa.float64(),
    "profile_at": _IDS,
    "profile": pa.list_(pa.float64()),
}
_FAILURE = {"mode": pa.string(), "start": pa.int32(), "end": pa.int32(), "measure": pa.float64()}
_SEGMENT = {"start": pa.int32(), "end": pa.int32(), "advantage": pa.float64()}
_SPAN = {"version": pa.int64(), "start": pa.int32(), "end": pa.int32()}
_TRAJECTORY = {
    "id": pa.string(),
    "parent": pa.string(),
    "fork": pa.struct(_FORK.items()),
    "latent": _FLOATS,
    "z_free": pa.int32(),
    "seed": pa.uint64(),
    "engine": pa.int32(),
    "prefix_ids": _IDS,
    "token_ids": _IDS,
    "logprobs": _FLOATS,
    "entropies": _FLOATS,
    "spans": pa.list_(pa.struct(_SPAN.items())),
    "status": pa.string(),
    "cached_tokens": pa.int32(),
    "verdict": pa.string(),
    "reward": pa.float64(),
    "ib": pa.struct(_IB.items()),
    "failures": pa.list_(pa.struct(_FAILURE.items())),
    "rank": pa.int32(),
    "kept": pa.bool_(),
    "weight": pa.float64(),
    "label": pa.string(),
    "advantage": pa.float64(),
    "segments": pa.list_(pa.struct(_SEGMENT.items())),
}
_COUNTS = ("unforked", "unforked_branches", "missing_forks", "missing_pivots")  # of the tree
_SCHEMA = pa.schema(
    {
        "step": pa.int64(),
        "tree": pa.int32(),  # index of the tree in the file
        **dict.fromkeys(_COUNTS, pa.int32()),
        **{f"question_{name}": kind for name, kind in _QUESTION.items()},
        **_TRAJECTORY,  # all null in the single row of a tree without trajectories
        "text": pa.string(),  # the whole response, decoded; for readers, not read back
    }
)
_ARRAYS = {"latent": np.float32, "prefix_ids": np.int32, "token_ids": np.int32, "logprobs": np.float32, "entropies": np.float32}
_ADDED = {"weight": 1.0, "segments": (), "z_free": 0, "missing_pivots": 0}  # columns that earlier files lack
_ENUMS = {"status": Status, "verdict": Verdict, "label": Label}
_RECORDS = {"fork": Fork, "ib": IbScore}
_LISTS = {
    "failures": lambda rows: tuple(Failure(**row | {"mode": FailureMode(row["mode"])}) for row in rows),
    "segments": lambda rows: tuple(Segment(**row) for row in rows),
    "spans": lambda rows: tuple(VersionSpan(**row) for row in rows),
}


def write_trees(path: Path, trees: Sequence[RolloutTree], step: int, *, decode: Callable[[list[int]], str] | None = None) -> Path:
    """Write the trees of one step and return `path`. With `decode` (token ids to text) a `text` column is added for readers."""
    rows = [row for index, tree in enumerate(trees) for row in _tree_rows(tree, index, step, decode)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), partial, compression="zstd")
    os.replace(partial, path)
    return path


def read_trees(path: Path, only: Collection[int] | None = None) -> list[RolloutTree]:
    """The trees as they were written, in order; with `only`, those with these indices in the file.

    Raises FileNotFoundError, pyarrow.ArrowInvalid for another kind of file, or UserError for parquet with other columns.
    """
    columns = [name for name in _SCHEMA.names if name != "text"]
    held = _require(path, columns)
    rows = pq.read_table(path, columns=held, filters=None if only is None else pc.field("tree").isin(sorted(only))).to_pylist()
    rows = [_ADDED | row for row in rows]
    return [_tree(list(group)) for _, group in groupby(rows, key=lambda row: row["tree"])]


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of the file, a row per trajectory, in order; the values are those that `read_trees` gives.

    Nothing else is read, so a file need not have the other columns. A tree without trajectories has no row. Raises as `read_trees`.
    """
    held = _require(path, list(dict.fromkeys(("id", *columns))))
    table = pq.read_table(path, columns=held)
    values = {name: [default] * len(table) for name, default in _ADDED.items() if name in columns}
    values |= {name: _column(name, table[name].combine_chunks()) for name in table.column_names}
    rows = (dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True))
    return [{name: row[name] for name in columns} for row in rows if row["id"] is not None]


def _require(path: Path, columns: Sequence[str]) -> list[str]:
    """Those of the columns that the file has. Raises UserError unless it has all, but for later additions, as they are written here."""
    held = pq.read_schema(path)
    there = [name for name in columns if name in held.names or name not in _ADDED]
    different = [name for name in there if name not in held.names or held.field(name).type != _SCHEMA.field(name).type]
    if different:
        raise UserError(
            f"{path}: not trees as this version of ib_lpo writes them (missing or different: {', '.join(different)}); read them with the "
            "version that wrote them, or grow them again"
        )
    return there


def _column(name: str, values: pa.Array) -> list[Any]:
    """Arrays are cut from one piece of memory, without a Python object per number."""
    if name in _ARRAYS:
        whole, ends = np.array(values.values, _ARRAYS[name]), values.offsets.to_numpy()
        there = values.is_valid().to_pylist()
        return [whole[a:b] if valid else None for a, b, valid in zip(ends[:-1], ends[1:], there, strict=True)]
    plain = values.to_pylist()
    if name in _LISTS:
        return [None if row is None else _LISTS[name](row) for row in plain]
    if name in _ENUMS:
        return [None if value is None else _ENUMS[name](value) for value in plain]
    if name in _RECORDS:
        return [None if value is None else _record(_RECORDS[name], value) for value in plain]
    return plain


def _tree_rows(tree: RolloutTree, index: int, step: int, decode: Callable[[list[int]], str] | None) -> list[dict[str, Any]]:
    shared = {f"question_{name}": getattr(tree.question, name) for name in _QUESTION}
    shared |= {"step": step, "tree": index} | {name: getattr(tree, name) for name in _COUNTS}
    return [shared | _row(trajectory, decode) for trajectory in tree.trajectories] or [shared]


def _row(trajectory: Trajectory, decode: Callable[[list[int]], str] | None) -> dict[str, Any]:
    row = {name: getattr(trajectory, name) for name in _TRAJECTORY}
    row |= {name: None if row[name] is None else asdict(row[name]) for name in _RECORDS}
    row |= {name: [asdict(record) for record in row[name]] for name in _LISTS}
    return row | {"text": decode(trajectory.response_ids.tolist()) if decode else None}


def _tree(rows: list[dict[str, Any]]) -> RolloutTree:
    question = {name: rows[0][f"question_{name}"] for name in _QUESTION}
    trajectories = [_trajectory(row) for row in rows if row["id"] is not None]
    counts = {name: rows[0][name] for name in _COUNTS}
    return RolloutTree(question=_record(Question, question), trajectories=trajectories, **counts)


def _trajectory(row: dict[str, Any]) -> Trajectory:
    values = {name: row[name] for name in _TRAJECTORY}
    values |= {name: np.array(values[name], dtype) for name, dtype in _ARRAYS.items() if values[name] is not None}
    values |= {name: kind(values[name]) for name, kind in _ENUMS.items() if values[name] is not None}
    values |= {name: _record(kind, values[name]) for name, kind in _RECORDS.items() if values[name] is not None}
    values |= {name: read(values[name]) for name, read in _LISTS.items()}
    return Trajectory(**values)


def _record(kind: type, values: dict[str, Any]) -> Any:
    """What parquet gives as lists are tuples in a frozen record."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
