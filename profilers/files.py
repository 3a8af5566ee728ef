"""Files between stages: written whole or not at all, checked field by field when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from profilers.errors import FileError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

DEEPEST = 32  # levels of a file of ours, and far more than any has

_ADAPTERS: dict[object, TypeAdapter[Any]] = {}  # kept, for building one takes longer than most checks


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write under a temporary name, flush to disk, rename: a crash leaves the old file or the new one."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error of writing tell the file, as one of opening does: for a disk that is full."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_json(path: Path, value: object) -> None:
    write_atomic(path, json.dumps(value, indent=2) + "\n")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file_name(name: str) -> bool:
    """Whether a name is plain enough for that of a file: letters, digits, dots, dashes and underscores."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def read_text(path: Path, *, kind: str) -> str:
    """The text of a file; raises FileError where it cannot be read. `kind` names what it is: `latency table`."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileError(f"{path}: no such {kind}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not a readable {kind}: {error}") from None


def read_json(path: Path, as_type: type[T], *, kind: str, schema: int | None = None) -> T:
    """Read JSON and check it against a dataclass or model; raises FileError naming file and field."""
    try:
        document = json.loads(read_text(path, kind=kind))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON: {error}") from None
    return check(document, as_type, path=path, kind=kind, schema=schema)


def read_yaml(path: Path, as_type: type[T], *, kind: str, schema: int | None = None) -> T:
    """Read YAML and check it against a dataclass or model; raises FileError naming file and field."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = read_text(path, kind=kind)
    try:
        if _depth(yaml.parse(text, Loader=loader)) > DEEPEST:
            raise FileError(f"{path}: nested deeper than {DEEPEST} levels, which no {kind} is")
        document = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError) as error:
        raise FileError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return check(document, as_type, path=path, kind=kind, schema=schema)


def _depth(events: Iterable[object]) -> int:
    """How deep a document is nested, as far as it matters: PyYAML's loader in C overflows the stack of the process."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            break
    return depth


def check(document: object, as_type: type[T], *, path: Path, kind: str, schema: int | None = None) -> T:
    """Check a parsed document; with `schema`, its version field first. Raises FileError naming file and field."""
    from pydantic import ValidationError

    if schema is not None:
        document = _without_schema(document, path=path, kind=kind, schema=schema)
    try:
        return _adapter(as_type).validate_python(document)
    except ValidationError as error:
        raise FileError(f"{path}: {_first_problem(error)}") from None


def _adapter(as_type: type[T]) -> TypeAdapter[T]:
    from pydantic import TypeAdapter

    if as_type not in _ADAPTERS:
        _ADAPTERS[as_type] = TypeAdapter(as_type)
    return _ADAPTERS[as_type]


def _without_schema(document: object, *, path: Path, kind: str, schema: int) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise FileError(f"{path}: expected a mapping of fields, as every {kind} is")
    found = document.get("schema")
    if found != schema:
        raise FileError(f"{path}: schema: this {kind} is of version {found!r}, but this millis reads version {schema}")
    return {name: value for name, value in document.items() if name != "schema"}


def _first_problem(error: Any) -> str:
    """One line for the first problem of a pydantic ValidationError: field, what is wrong, near miss."""
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"]).replace("\n", " ") or "document"
    if problem["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{field}: no such field"
    more = "" if error.error_count() == 1 else f" (and {error.error_count() - 1} more)"
    return f"{field}: {problem['msg'][0].lower()}{problem['msg'][1:]}{more}"
