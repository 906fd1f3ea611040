"""Overlap by n-grams against a straight-line search, and its laws."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.data.preparation.overlap import Overlaps, grams
from ib_lpo.data.preparation.text import normalise

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=9)
SETS = st.lists(WORDS.map(" ".join), min_size=1, max_size=5).map(lambda texts: {f"q{i}": text for i, text in enumerate(texts)})


def searched(question: str, other: str, n: int) -> bool:
    """Without an index: equal, or some run of n words of one within the other."""
    ours, theirs = question.split(), other.split()
    runs = [theirs[i : i + n] for i in range(len(theirs) - n + 1)]
    return ours == theirs or any(ours[i : i + n] in runs for i in range(len(ours) - n + 1))


@settings(max_examples=300, deadline=None)
@given(SETS, WORDS.map(" ".join), st.integers(2, 5))
def test_finds_what_a_search_finds(questions, question, n):
    found = {overlap.key: overlap for overlap in Overlaps(questions, n).of(question)}
    assert set(found) == {key for key, other in questions.items() if searched(question, other, n)}
    assert all(0 < overlap.share <= 1 for overlap in found.values())


@given(WORDS.map(" ".join), WORDS.map(" ".join), st.integers(2, 5))
def test_is_symmetric(one, other, n):
    assert bool(Overlaps({"k": one}, n).of(other)) == bool(Overlaps({"k": other}, n).of(one))


@given(WORDS.map(" ".join), WORDS.map(" ".join), WORDS.map(" ".join), st.integers(2, 5))
def test_a_question_inside_another_is_found_if_it_has_n_words(before, question, after, n):
    found = Overlaps({"k": question}, n).of(f"{before} {question} {after}")
    if len(question.split()) >= n:
        assert [overlap.share for overlap in found] == [1.0]


@given(st.text(max_size=20), st.integers(2, 13))
def test_a_question_overlaps_with_itself_however_short(question, n):
    (overlap,) = Overlaps({"k": question}, n).of(f" {question}?" if normalise(question) else question)
    assert (overlap.key, overlap.share) == ("k", 1.0)


@given(st.lists(st.integers(0, 2), max_size=8).map(lambda items: [str(item) for item in items]), st.integers(1, 4))
def test_grams(sequence, n):
    expected = {tuple(sequence[i : i + n]) for i in range(max(0, len(sequence) - n + 1))}
    assert set(grams(sequence, n)) == expected and len(grams(sequence, n)) == len(expected)


def test_what_is_in_common_is_shown():
    shared = "the quick brown fox jumps over the lazy dog"
    (overlap,) = Overlaps({"k": f"See {shared} today."}, 9).of(f"Why did {shared} once more?")
    assert overlap.text == shared and overlap.share == 1 / 3


@given(WORDS.map(" ".join), WORDS.map(" ".join), st.integers(2, 5))
def test_both_have_the_same_share(one, other, n):
    shares = [[overlap.share for overlap in Overlaps({"k": a}, n).of(b)] for a, b in ((one, other), (other, one))]
    assert shares[0] == shares[1]
