"""YAML and JSON mappings from operations to what was measured, read with lines, duplicates and limits.

YAML's own loaders keep the last of two equal keys in silence, expand aliases for ever and read `1_0` as a number. Here
a document is walked event by event: nothing is expanded, and nothing is nested deeper than a table can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latency_tables.errors import TableImportError
from latency_tables.foreign import Problem, RawRow, as_written

if TYPE_CHECKING:
    from yaml import Event

DEEPEST = 4
ONLY = "value"  # the name of the only field, where an operation stands beside a bare number


@dataclass(frozen=True, slots=True)
class _Node:
    """A scalar (its text, and its value), or the pairs of a mapping; anything else has neither."""

    line: int
    text: str = ""
    value: object = None
    pairs: tuple[tuple[_Node, _Node], ...] | None = None


def yaml_rows(text: str) -> Iterator[RawRow | Problem]:
    """Each row of the one mapping in a text of YAML or JSON; raises TableImportError where there is none."""
    import yaml

    try:
        top = _document(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise TableImportError(f"not YAML: {' '.join(str(error).split())}") from None
    if top is None or top.pairs is None:
        raise TableImportError("holds no mapping from operations to latencies")
    for key, value in top.pairs:
        yield _row(key, value)


def _row(key: _Node, value: _Node) -> RawRow | Problem:
    if not key.text:
        return Problem(kind="key", text="no name of an operation", line=key.line, key=key.text)
    if value.pairs is None:
        return RawRow(key.line, key.text, {ONLY: value.value})
    fields: dict[str, object] = {}
    for name, node in value.pairs:
        if name.text in fields:
            return Problem(kind="ragged", text=f"{name.text} is given twice", line=key.line, key=key.text)
        fields[name.text] = node.value
    return RawRow(key.line, key.text, fields)


def _document(events: Iterator[Event]) -> _Node | None:
    import yaml

    top: _Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if top is not None:
                raise TableImportError(f"line {_line(event)}: a second document begins; a table is one")
            top = _node(events, next(events), 1)
    return top


def _node(events: Iterator[Event], event: Event, depth: int) -> _Node:
    import yaml

    line = _line(event)
    if isinstance(event, yaml.ScalarEvent):
        plain = event.implicit[0]  # neither quoted nor tagged
        return _Node(line, event.value, as_written(event.value) if plain else event.value)
    if isinstance(event, yaml.AliasEvent):
        raise TableImportError(f"line {line}: the alias *{event.anchor} stands for other lines; write them out")
    if depth > DEEPEST:
        raise TableImportError(f"line {line}: nested deeper than {DEEPEST} levels, which no latency table is")
    children: list[_Node] = []
    while not isinstance(event := next(events), yaml.CollectionEndEvent):
        children.append(_node(events, event, depth + 1))
    if isinstance(event, yaml.MappingEndEvent):
        return _Node(line, pairs=tuple(zip(children[::2], children[1::2], strict=True)))
    return _Node(line, value=f"a list of {len(children)}")


def _line(event: Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line + 1
