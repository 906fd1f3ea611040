"""Many token sequences as one packed row, in which what sequences share is computed once.

`plant` grows a radix tree over the sequences' token ids and lays it out in preorder. Equal prefixes have equal hidden states, so sharing
changes no value; a token attends to the tokens on its own path and has its path's positions. Without sharing every sequence is a
tree of its own: packing without padding. Nothing in this file knows a model.

Two descriptions of who attends to whom, for two kinds of attention kernels:
* runs: the row cut into stretches of consecutive tokens of one path, each with the ranges of its earlier tokens;
* exits: token i sees token j iff j <= i < exits[j], because a node's subtree is contiguous in preorder.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

Range = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A sequence and what is asked of it: log-probs of ids[start:].

    With a latent, the tokens from start - 1 + z_free on carry it and are shared with no one: the last token before the first
    one that z acts on is computed with z.
    """

    ids: np.ndarray  # int32 [L], L >= 1
    start: int  # 1 <= start <= L; start = L asks for nothing
    latent: np.ndarray | None = None  # float32 [dim]
    z_free: int = 0  # the first of ids[start:], on which z does not act

    @property
    def with_z(self) -> int:
        """Index of the first token that is computed with z."""
        return self.start - 1 + self.z_free


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive tokens [low, high) of one path; before them on the path lie the tokens of `prefix`."""

    low: int
    high: int
    prefix: tuple[Range, ...]
    latent: int | None  # row of Forest.latents that all its tokens carry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """T packed tokens, N targets in the order of the paths, Z tokens that carry one of R latents."""

    ids: Tensor  # int64 [1, T]
    positions: Tensor  # int64 [1, T], along the path
    exits: Tensor  # int64 [T], the end of the subtree of each token's node
    latent_of: Tensor  # int64 [T], row of `latents`, or -1
    runs: tuple[Run, ...]  # in order; they cover [0, T)
    source: Tensor  # int64 [N], packed index of the token before each target
    targets: Tensor  # int64 [N]
    z_tokens: Tensor  # int64 [Z], packed indices, ascending
    z_since: Tensor  # int64 [Z], t of gamma(t): tokens since the fork
    latents: Tensor | None  # float32 [R, dim]; None when no path carries one

    @property
    def tokens(self) -> int:
        """T, the tokens of one forward pass."""
        return self.ids.shape[1]

    def to(self, device: str | torch.device) -> "Forest":
        moved = {name: getattr(self, name) for name in self.__slots__}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor)})


@dataclass(slots=True, eq=False)
class _Node:
    """A stretch of token ids below its parent; `low` is its place in the row once laid out."""

    ids: np.ndarray
    depth: int  # position of its first token
    parent: "_Node | None"
    latent: int | None = None
    children: list["_Node"] = field(default_factory=list)
    low: int = -1


def plant(paths: Sequence[Path], *, share: bool) -> Forest:
    """Pack `paths`, whose latents are of one size. No path at all gives a row of one token and no target."""
    roots, ends = _grow(paths, share)
    if not roots:
        roots = [_Node(np.zeros(1, dtype=np.int32), 0, None)]
    ordered, runs, exits = _lay_out(roots)
    places = [_places(end) for end in ends]
    carried = [path.latent for path in paths if path.latent is not None]
    latent_of = np.concatenate([np.full(len(n.ids), -1 if n.latent is None else n.latent) for n in ordered])
    since = np.concatenate([np.arange(len(n.ids)) for n in ordered])
    return Forest(
        ids=_long([n.ids for n in ordered])[None],
        positions=_long([np.arange(n.depth, n.depth + len(n.ids)) for n in ordered])[None],
        exits=_long([np.full(len(n.ids), end) for n, end in zip(ordered, exits, strict=True)]),
        latent_of=torch.from_numpy(latent_of),
        runs=runs,
        source=_long([place[path.start - 1 :] for path, place in zip(paths, places, strict=True) if path.start < len(path.ids)]),
        targets=_long([path.ids[path.start :] for path in paths]),
        z_tokens=torch.from_numpy(np.flatnonzero(latent_of >= 0)),
        z_since=torch.from_numpy(since[latent_of >= 0]),
        latents=torch.from_numpy(np.stack(carried).astype(np.float32)) if carried else None,
    )


def planted_tokens(paths: Sequence[Path], *, share: bool) -> int:
    """T of `plant`, without laying out anything."""
    waiting, total = list(_grow(paths, share)[0]), 0
    while waiting:
        node = waiting.pop()
        total += len(node.ids)
        waiting += node.children
    return total


def _long(parts: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64))


def _grow(paths: Sequence[Path], share: bool) -> tuple[list[_Node], list[_Node]]:
    """The roots of the forest, and the node in which each path ends. The last id of a path is only a target."""
    trunk = _Node(np.zeros(0, dtype=np.int32), 0, None)
    ends: list[_Node] = []
    rows = 0
    for path in paths:
        computed = path.ids[: max(1, len(path.ids) - 1)]
        plain = computed if path.latent is None else computed[: path.with_z]
        node = _insert(trunk, plain, share)
        if path.latent is not None:
            carrying = computed[path.with_z :]
            node = _append(node, carrying, latent=rows) if carrying.size else node
            rows += 1
        ends.append(node)
    for root in trunk.children:
        root.parent = None
    return trunk.children, ends


def _append(parent: _Node, ids: np.ndarray, latent: int | None = None) -> _Node:
    child = _Node(ids, parent.depth + len(parent.ids), parent, latent)
    parent.children.append(child)
    return child


def _insert(trunk: _Node, ids: np.ndarray, share: bool) -> _Node:
    """The node that ends with the last of `ids`, made where it does not exist yet."""
    node = trunk
    while len(ids):
        following = (c for c in node.children if share and c.latent is None and c.ids[0] == ids[0])
        child = next(following, None)
        if child is None:
            return _append(node, ids)
        common = common_prefix(child.ids, ids)
        node = child if common == len(child.ids) else _split(child, common)
        ids = ids[common:]
    return node


def common_prefix(a: np.ndarray, b: np.ndarray) -> int:
    """How many ids two sequences begin with in common."""
    length = min(len(a), len(b))
    differ = np.flatnonzero(a[:length] != b[:length])
    return int(differ[0]) if differ.size else length


def _split(node: _Node, at: int) -> _Node:
    """A new node for the first `at` ids of `node`, which keeps the others and everything that ends in it."""
    upper = _Node(node.ids[:at], node.depth, node.parent, children=[node])
    siblings = node.parent.children
    siblings[next(i for i, sibling in enumerate(siblings) if sibling is node)] = upper
    node.ids, node.depth, node.parent = node.ids[at:], node.depth + at, upper
    return upper


def _lay_out(roots: list[_Node]) -> tuple[list[_Node], tuple[Run, ...], list[int]]:
    """Nodes in preorder with their places set, the runs, and the end of each node's subtree.

    A run goes on into the first child of a node as long as that carries no z: every other child begins a run of its own.
    """
    ordered: list[_Node] = []
    runs: list[Run] = []
    run_of: dict[int, int] = {}  # id(node) -> index of its run
    place = 0
    waiting = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        node.low = place
        place += len(node.ids)
        parent = node.parent
        if parent is not None and node is parent.children[0] and node.latent is None:
            run_of[id(node)] = run_of[id(parent)]
            runs[-1] = replace(runs[-1], high=place)
        else:
            run_of[id(node)] = len(runs)
            prefix = ()
            if parent is not None:
                above = runs[run_of[id(parent)]]
                prefix = (*above.prefix, (above.low, parent.low + len(parent.ids)))
            runs.append(Run(node.low, place, prefix, node.latent))
        ordered.append(node)
        waiting += reversed(node.children)
    return ordered, tuple(runs), _subtree_ends(ordered)


def _subtree_ends(ordered: list[_Node]) -> list[int]:
    """In preorder reversed, every child is seen before its parent."""
    ends: dict[int, int] = {}
    for node in reversed(ordered):
        ends[id(node)] = ends[id(node.children[-1])] if node.children else node.low + len(node.ids)
    return [ends[id(node)] for node in ordered]


def _places(end: _Node) -> np.ndarray:
    """Packed index of every token on the path that ends with `end`."""
    parts: list[np.ndarray] = []
    node: _Node | None = end
    while node is not None:
        parts.append(np.arange(node.low, node.low + len(node.ids)))
        node = node.parent
    return np.concatenate(parts[::-1])
