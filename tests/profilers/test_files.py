from __future__ import annotations

import errno
import hashlib
import json
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.errors import FileError
from profilers.files import check, read_json, read_yaml, sha256_of, write_atomic, write_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=4,
)
FIELDS = st.dictionaries(st.sampled_from(["schema", "name", "cores", "clusters"]) | st.text(), JSON)
DOCUMENTS = JSON | FIELDS | FIELDS.map(lambda fields: fields | {"schema": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    name: str
    cores: int = 8
    clusters: tuple[int, ...] = ()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "phone.json"


def test_folders_on_the_way_to_a_file_are_made(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "file", "text")
    assert (tmp_path / "a" / "b" / "file").read_text() == "text"


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write_atomic(file, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(step, full)
    with pytest.raises(OSError, match="no space left"):
        write_atomic(file, b"new")
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_is_told_with_the_file_that_has_no_room(file: Path) -> None:
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_999, room[1]))
    try:
        with pytest.raises(OSError, match=f"File too large: '{file}'"):
            write_atomic(file, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert list(file.parent.iterdir()) == []


def test_a_write_that_is_interrupted_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(file, "old")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(file, "new")
    assert [file.read_text(), len(list(file.parent.iterdir()))] == ["old", 1]


def test_a_checked_file_comes_back(file: Path) -> None:
    write_json(file, {"schema": 3, "name": "pixel", "clusters": [4, 2, 2]})
    assert read_json(file, Phone, kind="phone", schema=3) == Phone(name="pixel", clusters=(4, 2, 2))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"name": "pixel", "core": 8}, "core: no such field"),
        ({"cores": 8}, "name: .*required"),
        ({"name": "pixel", "cores": "many"}, "cores: input should be a valid integer"),
        ({"name": "pixel", "clusters": [4, "two"]}, r"clusters\.1: input should be a valid integer"),
        ({"name": 7, "cores": "many"}, r"name: input should be a valid string \(and 1 more\)"),
        (["pixel"], "expected a mapping of fields, as every phone is"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(file: Path, document: object, message: str) -> None:
    write_json(file, {"schema": 1, **document} if isinstance(document, dict) else document)
    with pytest.raises(FileError, match=rf"phone\.json: {message}"):
        read_json(file, Phone, kind="phone", schema=1)


@pytest.mark.parametrize(
    "document", [{"schema": 2, "name": "pixel"}, {"schema": "1", "name": "pixel"}, {"name": "pixel"}]
)
def test_another_schema_version_is_refused_before_any_field_is_read(file: Path, document: object) -> None:
    write_json(file, document)
    with pytest.raises(
        FileError, match=r"phone\.json: schema: this phone is of version .*, but this millis reads version 1"
    ):
        read_json(file, Phone, kind="phone", schema=1)


@given(DOCUMENTS)
def test_any_document_is_a_phone_or_a_file_error_of_one_line(document: object) -> None:
    try:
        problem = repr(check(document, Phone, path=Path("phone.json"), kind="phone", schema=1))
    except FileError as error:
        problem = str(error)
    assert "\n" not in problem


@pytest.mark.parametrize("content", [b"{", b'{"name": "a"} {}', b"9" * 5000, b"[" * 100_000])
def test_a_file_that_is_no_json_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(FileError, match=r"phone\.json: not JSON: "):
        read_json(file, Phone, kind="phone")


@pytest.mark.parametrize("content", [b"[", b"bought: 2024-13-45", b"9" * 5000])
def test_a_file_that_is_no_yaml_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(FileError, match=r"phone\.json: not YAML: "):
        read_yaml(file, Phone, kind="phone")


def test_a_file_that_is_no_text_is_named(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(FileError, match=r"phone\.json: not a readable phone: "):
        read_json(file, Phone, kind="phone")


def test_a_missing_file_says_what_it_should_have_been(file: Path) -> None:
    with pytest.raises(FileError, match=r"phone\.json: no such phone"):
        read_json(file, Phone, kind="phone")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a readable phone"):
        read_json(tmp_path, Phone, kind="phone")


def test_yaml_is_checked_like_json(file: Path) -> None:
    file.write_text("schema: 1\nname: pixel\nclusters: [4, 4]\n")
    assert read_yaml(file, Phone, kind="phone", schema=1) == Phone(name="pixel", clusters=(4, 4))


@pytest.mark.parametrize("content", ["[" * 200_000, "{a: " * 200_000, "- " * 100_000], ids=["[", "{", "-"])
def test_yaml_nested_deeper_than_the_stack_is_named(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(FileError, match=r"phone\.json: nested deeper than 32 levels, which no phone is"):
        read_yaml(file, Phone, kind="phone")


def test_yaml_builds_no_python_objects(file: Path) -> None:
    file.write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(FileError, match=r"phone\.json: not YAML: .*python/object"):
        read_yaml(file, Phone, kind="phone")


def test_json_files_end_with_a_line_and_read_back(file: Path) -> None:
    write_json(file, {"name": "é"})
    assert file.read_text().endswith("}\n")
    assert json.loads(file.read_text()) == {"name": "é"}


@given(st.binary(max_size=1000))
def test_the_hash_is_that_of_the_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "hashed"
    write_atomic(file, content)
    assert sha256_of(file) == hashlib.sha256(content).hexdigest()
