from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.scoring.repetition import repeated_tokens

IDS = st.lists(st.integers(0, 2), max_size=30)


@given(ids=IDS)
def test_equals_the_search_written_out(ids):
    expected = []
    for end in range(1, len(ids) + 1):
        last = ids[end - 4 : end] if end >= 4 else None
        expected.append(last is not None and any(ids[start : start + 4] == last for start in range(end - 4)))
    assert repeated_tokens(ids).tolist() == expected


@given(ids=IDS, more=IDS)
def test_a_longer_response_changes_nothing_before_its_end(ids, more):
    assert repeated_tokens(ids + more)[: len(ids)].tolist() == repeated_tokens(ids).tolist()


def test_a_loop_is_repeated_from_its_second_turn_on():
    assert repeated_tokens([1, 2, 3, 1, 2, 3, 1, 2, 3]).tolist() == [False] * 6 + [True] * 3
    assert repeated_tokens([7] * 7).tolist() == [False] * 4 + [True] * 3


def test_short_and_varied_responses_repeat_nothing():
    for ids in ([], [1], [1, 1, 1], [1, 1, 1, 1], list(range(50))):
        assert not repeated_tokens(ids).any() and repeated_tokens(ids).shape == (len(ids),)
