"""The reader of .wandb files sees a whole number of records, whenever it looks at a file that is being written."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wandb.proto.wandb_internal_pb2 import Record

from tests.tracking.wandb_file import records


def written(sizes: list[int]) -> tuple[bytes, list[int]]:
    """A file of records of about these sizes, and where each of them ends: LevelDB's log, in blocks of 32768 bytes."""
    content, ends = b":W&B" + b"\xe1\xbe\x00", []
    for number, size in enumerate(sizes):
        left, begun = Record(num=number + 1, uuid="x" * size).SerializeToString(), False
        while left or not begun:
            room = 32768 - len(content) % 32768
            if room < 7:
                content += bytes(room)
                continue
            part, left = left[: room - 7], left[room - 7 :]
            kind = (4 if begun else 1) if not left else (3 if begun else 2)
            content += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            begun = True
        ends.append(len(content))
    return content, ends


@settings(deadline=None)
@given(st.lists(st.integers(0, 300) | st.integers(30_000, 70_000), min_size=1, max_size=4), st.data())
def test_a_file_cut_anywhere_holds_the_records_that_end_before(sizes, data):
    content, ends = written(sizes)
    cut = data.draw(st.integers(0, len(content)))
    assert [record.num for record in records(content[:cut])] == [i + 1 for i, end in enumerate(ends) if end <= cut]


@pytest.mark.parametrize("what", [bytes(400), b"\xff" * 400])
def test_room_that_is_taken_and_not_filled_yet_is_no_record(what):
    """As of a file that grows before its content is there."""
    content, ends = written([50, 300])
    assert [record.num for record in records(content[: ends[0]] + what)] == [1]
