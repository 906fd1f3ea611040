"""A packed forest holds every path once, shares exactly what paths have in common, and both descriptions of its attention agree."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.policy.forest import Path, plant, planted_tokens

DIM = 3


@st.composite
def paths(draw):
    """Short paths over three token ids, so that they share prefixes, repeat, and are prefixes of one another."""
    found = []
    for _ in range(draw(st.integers(0, 7))):
        ids = np.array(draw(st.lists(st.integers(0, 2), min_size=1, max_size=9)), dtype=np.int32)
        start = draw(st.integers(1, len(ids)))
        latent = draw(st.booleans()) and start < len(ids)
        found.append(Path(ids=ids, start=start, latent=np.full(DIM, len(found), dtype=np.float32) if latent else None))
    return found


def seen(forest):
    """bool [T, T], from the runs."""
    mask = torch.zeros(forest.tokens, forest.tokens, dtype=torch.bool)
    for run in forest.runs:
        for i in range(run.low, run.high):
            mask[i, run.low : i + 1] = True
            for low, high in run.prefix:
                mask[i, low:high] = True
    return mask


@settings(deadline=None, max_examples=200)
@given(paths=paths(), share=st.booleans())
def test_every_token_sees_exactly_its_own_path(paths, share):
    forest = plant(paths, share=share)
    mask = seen(forest)
    i, j = torch.arange(forest.tokens)[:, None], torch.arange(forest.tokens)[None]
    assert torch.equal(mask, (j <= i) & (i < forest.exits[j])), "runs and exits describe the same attention"
    n = carried = 0
    for path in paths:
        for at in range(path.start, len(path.ids)):
            source = int(forest.source[n])
            context = torch.nonzero(mask[source]).flatten()
            assert forest.ids[0, context].tolist() == path.ids[:at].tolist()
            assert forest.positions[0, context].tolist() == list(range(at))
            with_z = [] if path.latent is None else list(range(path.start - 1, at))
            assert forest.positions[0, context][forest.latent_of[context] >= 0].tolist() == with_z
            assert set(forest.latent_of[context].tolist()) <= {-1, carried if path.latent is not None else -1}
            assert int(forest.targets[n]) == path.ids[at]
            n += 1
        carried += path.latent is not None
    assert n == len(forest.source) == len(forest.targets)
    assert (0 if forest.latents is None else len(forest.latents)) == carried
    assert [run.low for run in forest.runs[1:]] == [run.high for run in forest.runs[:-1]] and forest.runs[-1].high == forest.tokens
    assert forest.tokens == max(1, planted_tokens(paths, share=share))


@settings(deadline=None, max_examples=200)
@given(paths=paths())
def test_sharing_computes_each_context_once(paths):
    """Distinct contexts, latents told apart, are exactly the packed tokens."""
    contexts = {
        (tuple(path.ids[: at + 1]), i if path.latent is not None and at >= path.start - 1 else None)
        for i, path in enumerate(paths)
        for at in range(max(1, len(path.ids) - 1))
        if path.latent is None or at < len(path.ids) - 1
    }
    assert planted_tokens(paths, share=True) == len(contexts)
    assert planted_tokens(paths, share=False) == sum(max(1, len(path.ids) - 1) for path in paths)


def test_tokens_with_z_count_from_the_fork():
    paths = [Path(ids=np.arange(6), start=3, latent=np.ones(DIM)), Path(ids=np.arange(6), start=2)]
    forest = plant(paths, share=True)
    assert forest.positions[0, forest.z_tokens].tolist() == [2, 3, 4]
    assert forest.z_since.tolist() == [0, 1, 2]
    assert forest.tokens == 5 + 3


def test_a_row_of_nothing_is_one_token_without_a_target():
    forest = plant([], share=True)
    assert (forest.tokens, len(forest.targets), forest.latents) == (1, 0, None)
