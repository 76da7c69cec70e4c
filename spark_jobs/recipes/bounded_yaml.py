"""YAML from strangers: nodes with their lines, and values, within bounds that no recipe reaches.

YAML lets a short text stand for a large value, by aliases that are expanded, and for an endless one, by an alias to
what contains it. Nested brackets exhaust the stack of a recursive parser. All of these are refused before a value is
built.
"""

from __future__ import annotations

import contextlib
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 50
MAX_NODES = 20_000
"""Nodes of a document after its aliases have been replaced by what they stand for."""
MAX_INTEGER = 2**63 - 1
TOO_LONG = "an integer needs more than 64 bits"


class YamlError(Exception):
    """A text that is not YAML, or is beyond the bounds.

    Attributes:
        cause: What is wrong.
        line: Its line, from 1.
    """

    def __init__(self, cause: str, line: int = 1) -> None:
        super().__init__(cause)
        self.cause, self.line = cause, line


def compose(text: str) -> yaml.Node | None:
    """Return the root node of a document; None if it is empty.

    Raises:
        YamlError: The text is not YAML, or is too large, too deep, or refers to itself.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"the file has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    # What is not YAML is left to `_composed`, whose error has PyYAML's own words.
    with contextlib.suppress(yaml.YAMLError):
        _check_depth(text)
    try:
        root = _composed(text)
    except yaml.MarkedYAMLError as error:
        raise YamlError(str(error.problem), error.problem_mark.line + 1 if error.problem_mark else 1) from error
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0]) from error
    if root is not None:
        _expanded(root, {})
    return root


def construct(node: yaml.Node) -> Any:
    """Return the value of a node.

    Raises:
        YamlError: A scalar is not of the type that it looks like, or an integer needs more than 64 bits.
    """
    line = node.start_mark.line + 1
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
    except yaml.YAMLError as error:
        raise YamlError(str(getattr(error, "problem", None) or error).splitlines()[0], line) from error
    except (ValueError, OverflowError, TypeError) as error:
        # Python refuses to read an integer of thousands of digits.
        raise YamlError(TOO_LONG if "integer string" in str(error) else str(error)[:100], line) from error
    if any(isinstance(number, int) and abs(number) > MAX_INTEGER for number in _scalars(value)):
        raise YamlError(TOO_LONG, line)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise YamlError(f"lists and mappings are nested more than {MAX_DEPTH} deep", event.start_mark.line + 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _composed(text: str) -> yaml.Node | None:
    """Compose by libyaml, in a tenth of the time, where PyYAML was built with it."""
    fast = getattr(yaml, "CSafeLoader", None)
    if fast is not None:
        # What libyaml refuses is read once more, for the error.
        with contextlib.suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=fast)
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _expanded(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return the number of nodes below a node, aliases replaced, itself included.

    An alias follows what it refers to, so its size is known, or is None while that node is still open.
    """
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise YamlError("an alias refers to the value that contains it", node.start_mark.line + 1)
        return known
    sizes[id(node)] = None
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_expanded(part, sizes) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_expanded(part, sizes) for part in node.value)
    if size > MAX_NODES:
        raise YamlError(f"aliases expand to more than {MAX_NODES:,} values", node.start_mark.line + 1)
    sizes[id(node)] = size
    return size


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [scalar for pair in value.items() for part in pair for scalar in _scalars(part)]
    if isinstance(value, (list, tuple, set)):
        return [scalar for part in value for scalar in _scalars(part)]
    return [value]
