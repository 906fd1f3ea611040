"""Trees survive parquet unchanged."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ib_lpo.errors import UserError
from ib_lpo.tree import Failure, FailureMode, Fork, IbScore, Label, Question, RolloutTree, Segment, Status, Trajectory, Verdict, VersionSpan
from ib_lpo.tree_store import read_rows, read_trees, write_trees

INT32 = st.integers(0, 2**31 - 1)
NUMBER = st.floats(allow_nan=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
IDS = arrays.arrays(np.int32, st.integers(0, 6), elements=INT32)
FLOATS = arrays.arrays(np.float32, st.integers(0, 6), elements=st.floats(width=32))
TUPLE = st.lists(INT32, max_size=5).map(tuple)


def maybe(strategy):
    return st.none() | strategy


QUESTION = st.builds(
    Question,
    id=TEXT,
    text=TEXT,
    answer=TEXT,
    prompt_ids=TUPLE,
    answer_ids=TUPLE,
    lead_ids=TUPLE,
    empty_prompt_ids=TUPLE,
    informed_prompt_ids=TUPLE,
)
SCORE = st.builds(
    IbScore,
    estimator=TEXT,
    relevance=NUMBER,
    compression=NUMBER,
    relevance_z=NUMBER,
    compression_z=NUMBER,
    score=NUMBER,
    profile_at=TUPLE,
    profile=st.lists(NUMBER, max_size=5).map(tuple),
)
FAILURE = st.builds(Failure, mode=st.sampled_from(FailureMode), start=INT32, end=INT32, measure=NUMBER)
TRAJECTORY = st.builds(
    Trajectory,
    id=TEXT,
    parent=maybe(TEXT),
    fork=maybe(st.builds(Fork, position=INT32, entropy=NUMBER, candidates=INT32, prefix_length=INT32)),
    latent=maybe(FLOATS),
    seed=st.integers(0, 2**63 - 1),
    weight=NUMBER,
    engine=INT32,
    prefix_ids=IDS,
    token_ids=IDS,
    logprobs=FLOATS,
    entropies=FLOATS,
    spans=st.lists(st.builds(VersionSpan, version=INT32, start=INT32, end=INT32), max_size=3).map(tuple),
    status=st.sampled_from(Status),
    cached_tokens=INT32,
    verdict=maybe(st.sampled_from(Verdict)),
    reward=maybe(NUMBER),
    ib=maybe(SCORE),
    failures=st.lists(FAILURE, max_size=3).map(tuple),
    rank=maybe(INT32),
    kept=st.booleans(),
    label=maybe(st.sampled_from(Label)),
    advantage=maybe(NUMBER),
    segments=st.lists(st.builds(Segment, start=INT32, end=INT32, advantage=NUMBER), max_size=3).map(tuple),
)
COUNT = st.integers(0, 9)
TREE = st.builds(
    RolloutTree,
    question=QUESTION,
    trajectories=st.lists(TRAJECTORY, max_size=3),
    unforked=COUNT,
    unforked_branches=COUNT,
    missing_forks=COUNT,
)


def plain(value):
    """A value in which equal means the same bits, NaN included, and types count."""
    if dataclasses.is_dataclass(value):
        return type(value), [(field.name, plain(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return type(value), [plain(item) for item in value]
    return type(value), repr(value)


@settings(max_examples=60, deadline=None)
@given(st.lists(TREE, max_size=3))
def test_round_trip(tmp_path_factory, trees):
    path = tmp_path_factory.mktemp("trees") / "deep" / "step-000003.parquet"
    assert write_trees(path, trees, 3) == path
    assert plain(read_trees(path)) == plain(trees)


def tree(tokens=3):
    question = Question(id="q", text="t", answer="a", prompt_ids=(1,), answer_ids=(2,))
    ids, values = np.arange(tokens, dtype=np.int32), np.zeros(tokens, np.float32)
    common = {"engine": 0, "logprobs": values, "entropies": values, "spans": (), "status": Status.FINISHED, "cached_tokens": 0}
    root = Trajectory(id="q/r0", seed=1, prefix_ids=ids[:0], token_ids=ids, **common)
    branch = Trajectory(id="q/r0/b0", parent="q/r0", seed=2, prefix_ids=ids[:2], token_ids=ids + 10, **common)
    return RolloutTree(question=question, trajectories=[root, branch])


def columns(kind):
    """The names under a stored struct, or under a list of them."""
    return [field.name for field in (kind.value_type if pa.types.is_list(kind) else kind)]


def test_every_field_is_stored(tmp_path):
    """A field with a default would else be left out in silence: what writes none of it gives equal trees."""
    schema = pq.read_schema(write_trees(tmp_path / "a.parquet", [tree()], 0))
    assert {f"question_{field.name}" for field in dataclasses.fields(Question)} < set(schema.names)
    assert {field.name for field in dataclasses.fields(Trajectory)} < set(schema.names)
    assert {field.name for field in dataclasses.fields(RolloutTree)} - {"question", "trajectories"} < set(schema.names)
    for name, record in (("fork", Fork), ("ib", IbScore), ("failures", Failure)):
        assert columns(schema.field(name).type) == [field.name for field in dataclasses.fields(record)]


def test_trees_of_another_version_are_refused_in_one_line(tmp_path):
    path = write_trees(tmp_path / "a.parquet", [tree()], 0)
    table = pq.read_table(path)
    old_ib = pa.array([{"relevance": 1.0, "compression": 2.0, "score": 0.0}] * len(table))
    place = table.column_names.index("ib")
    pq.write_table(table.drop_columns(["rank", "failures"]).set_column(place, "ib", old_ib), path)
    with pytest.raises(UserError) as refused:
        read_trees(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "(missing or different: ib, failures, rank)" in message
    assert message.endswith("read them with the version that wrote them, or grow them again") and "\n" not in message


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("no parquet at all")
    with pytest.raises(pa.ArrowInvalid, match="Parquet"):
        read_trees(path)


def test_step_and_text_are_there_for_readers(tmp_path):
    path = write_trees(tmp_path / "a.parquet", [tree()], 7, decode=lambda ids: " ".join(map(str, ids)))
    table = pq.read_table(path)
    assert table["step"].to_pylist() == [7, 7]
    assert table["text"].to_pylist() == ["0 1 2", "0 1 10 11 12"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_trees(tmp_path / "a.parquet", [tree()], 0)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_trees(path, [tree(5)], 1)
    assert plain(read_trees(path)) == plain([tree()])


def test_files_of_an_earlier_version_have_neither_weights_nor_segments(tmp_path):
    path = tmp_path / "step-000001.parquet"
    trees = [tree()]
    write_trees(path, trees, 1)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["weight", "segments"]), path)
    assert [t.weight for tree in read_trees(path) for t in tree.trajectories] == [1.0] * sum(len(tree.trajectories) for tree in trees)
    assert all(t.segments == () for tree in read_trees(path) for t in tree.trajectories)
    assert all(row["weight"] == 1.0 and row["segments"] == () for row in read_rows(path, ["weight", "segments"]))
