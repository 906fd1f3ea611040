"""YAML as a manifest may use it: what is there is what is meant, or an error.

YAML 1.1 drops the first of two equal keys, reads 1:30 as 90 and 010 as 8, and expands aliases without end. Here each of these is refused,
and so is whatever makes the reader itself fail: deep brackets, endless integers, tags of other types. Dates are plain text. Every error is
a yaml.MarkedYAMLError whose problem holds no value, as a value may be a secret.
"""

from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

_MOST_NODES = 20_000  # with aliases expanded; the longest manifest has a few hundred
_DEEPEST = 50  # mappings and lists within one another
_MOST_DIGITS = 80  # of binary ones, too
_LARGEST = 2**63 - 1
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Unclear(yaml.MarkedYAMLError):
    """YAML that is read otherwise than it looks, or not at all."""

    def __init__(self, problem: str, mark: Any):
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, made strict."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in pairs if tag != _TIMESTAMP]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str):
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", _TEXT):
            raise Unclear("a tag: manifests have none; remove it, and quote what is text", event.start_mark)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unclear(f"more than {_DEEPEST} brackets or mappings within one another; no key is that deep", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        first: dict[Any, int] = {}
        for key, _ in node.value:
            name = None if key.tag == _MERGE else self.construct_object(key, deep=True)
            if name is None or not isinstance(name, Hashable):  # of the latter the loader itself complains
                continue
            if name in first:
                raise Unclear(
                    f"key {str(name)[:80]!r} stands here a second time, after line {first[name]}; remove one of them", key.start_mark
                )
            first[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)

    def integer(self, node: yaml.ScalarNode) -> int:
        text = node.value.replace("_", "").lstrip("+-")
        if ":" in text:
            raise Unclear("a number with colons, which YAML reads in base 60; write it out, or quote it if it is text", node.start_mark)
        if len(text) > 1 and text[0] == "0" and text[1] not in "xb":
            raise Unclear(
                "an integer that begins with 0, which YAML reads in base 8; drop the 0, or quote it if it is text", node.start_mark
            )
        if len(text) > _MOST_DIGITS:
            raise Unclear(f"an integer of {len(text)} digits; no setting takes so large a number: quote it if it is text", node.start_mark)
        value = self.construct_yaml_int(node)
        if abs(value) > _LARGEST:
            raise Unclear(f"an integer beyond {_LARGEST}; no setting takes so large a number: quote it if it is text", node.start_mark)
        return value

    def real(self, node: yaml.ScalarNode) -> float:
        if ":" in node.value:
            raise Unclear("a number with colons, which YAML reads in base 60; write it out, or quote it if it is text", node.start_mark)
        return self.construct_yaml_float(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.real)


def load_yaml(text: str) -> Any:
    """Plain values. Raises yaml.YAMLError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_small(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _require_small(root: yaml.Node) -> None:
    """Raise Unclear for a document that is too large or too deep with its aliases expanded, or that contains itself."""
    known: dict[int, tuple[int, int]] = {}  # by node: values in it, and levels

    def measure(node: yaml.Node, above: frozenset[int]) -> tuple[int, int]:
        if id(node) in above:
            raise Unclear("an alias that stands within itself; write out what is meant", node.start_mark)
        if id(node) not in known:
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            inside = [measure(part, above | {id(node)}) for part in parts] if isinstance(node, yaml.CollectionNode) else []
            known[id(node)] = 1 + sum(values for values, _ in inside), 1 + max((levels for _, levels in inside), default=0)
        values, levels = known[id(node)]
        if values > _MOST_NODES or levels > _DEEPEST:
            raise Unclear(f"more than {_MOST_NODES} values or {_DEEPEST} levels; write out what is meant, without aliases", node.start_mark)
        return values, levels

    measure(root, frozenset())
