"""Dotted paths against nested indexing, and what they do not shadow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.data.sources.cells import lookup, text_of

KEYS = st.text("abcxyz", min_size=1, max_size=3)
CELLS = st.recursive(
    st.text(max_size=3) | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def paths(value, prefix):
    """Every path into a cell, with what lies there."""
    yield prefix, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, f"{prefix}.{key}")


@given(st.dictionaries(KEYS, CELLS, min_size=1, max_size=3))
def test_every_path_leads_to_its_cell(record):
    for column, value in record.items():
        for path, expected in paths(value, column):
            assert lookup(record, path) == expected


def test_a_column_of_that_name_wins():
    record = {"a.b": "the column", "a": {"b": "the path"}}
    assert lookup(record, "a.b") == "the column"
    assert lookup({"a": {"b": "the path"}}, "a.b") == "the path"


def test_empty_cells_on_the_way_are_empty():
    assert lookup({"a": None}, "a.b.0") is None
    assert (text_of(None), text_of(float("nan")), text_of(["$1$", 2], several=True), text_of(0)) == ("", "", "$1$, 2", "0")


@pytest.mark.parametrize(
    ("value", "several", "words"),
    [
        ({"a": 1, "b": 2}, True, "has a, b; name one of them with a dotted path"),
        ([["1"]], True, "a list of 1 items"),
        ([{"a": 1}], True, "has a;"),
        (["1", ""], True, "item 1 is empty"),
        (["1", None], True, "item 1 is empty"),
        (["1"], False, "a list of 1 items; name one of them with a dotted path"),
    ],
)
def test_what_is_no_text_is_refused(value, several, words):
    with pytest.raises(ValueError, match=words):
        text_of(value, several=several)
