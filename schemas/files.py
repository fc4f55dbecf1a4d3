"""YAML files that users write: what they hold, and where each value stands."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from schemas.problems import Problem


class Place(NamedTuple):
    """A line of a file, from 1."""

    file: str
    line: int


# By the path of a key or an item, such as `filter.chain[0].rules`.
Places = dict[str, Place]


class Replace(dict[str, Any]):
    """A mapping that is marked `!replace`: it is not merged with the one below it."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but a key that is given twice is an error, and `2e6` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key}` in line {line} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def replacing(self, node: yaml.MappingNode) -> Replace:
        """`!replace {...}`."""
        return Replace(self.construct_mapping(node, deep=True))  # type: ignore[arg-type]


_Loader.add_constructor("!replace", _Loader.replacing)
# YAML 1.2's floats, which 1.1 takes for texts unless they have a point and a sign
_Loader.yaml_implicit_resolvers = {
    first: [*own] for first, own in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path | Traversable, file: str, kind: str) -> Any:
    """What a YAML file holds. Raises Problem, naming `file`, if it cannot be read."""
    return read_placed(path, file, kind)[0]


def read_placed(path: Path | Traversable, file: str, kind: str) -> tuple[Any, Places]:
    """What a YAML file holds, and where its keys and items stand. Raises as `read_yaml`."""
    try:
        text = path.read_text("utf-8")
        loader = _Loader(text)
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise Problem(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file}: cannot read the {kind}: {error}") from error
    except RecursionError as error:
        raise Problem(f"{file}: not YAML that can be read: nested too deep") from error
    return value, {} if node is None else dict(_places(node, file, "", ()))


def _places(
    node: yaml.Node, file: str, path: str, above: tuple[yaml.Node, ...]
) -> Iterator[tuple[str, Place]]:
    if any(node is other for other in above):  # an alias of what it is in
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = joined(path, str(key.value))
            yield below, Place(file, key.start_mark.line + 1)
            yield from _places(value, file, below, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield joined(path, at), Place(file, value.start_mark.line + 1)
            yield from _places(value, file, joined(path, at), (*above, node))


def joined(path: str, part: str | int) -> str:
    """`a.b`, `a[2]`: a part behind a path."""
    if isinstance(part, int) and not isinstance(part, bool):
        return f"{path}[{part}]"
    return f"{path}.{part}" if path else str(part)


def place_of(path: str, places: Places) -> Place | None:
    """Where a path stands, or the nearest of those that it is in."""
    while path and path not in places:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return places.get(path)
