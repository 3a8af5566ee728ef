"""Bundles that a stranger made to harm whoever checks them."""

from __future__ import annotations

import contextlib
import json
import re
import runpy
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deploy
from deploy.bundle import Bundle
from deploy.errors import BundleError
from deploy.manifest import MANIFEST
from deploy.names import problems_of, unsafe_name
from deploy.sums import SUMS, checksums, sha256
from deploy.verify import verify

Forge = Callable[[Path, Callable[[dict[str, Any]], None]], None]
FILE = stat.S_IFREG | 0o644
VERIFIER = runpy.run_path(str(Path(deploy.__path__[0], "templates", "verify.py")))


def _zip(path: Path, entries: dict[str, int], kind: int = zipfile.ZIP_STORED, data: bytes = b"/etc/hostname") -> Path:
    """A .zip with an entry for each name, of the given Unix mode."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, mode in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = kind
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "complaint"),
    [
        ("b/../../evil", FILE, "leads outside"),
        ("../evil", FILE, "leads outside"),
        ("b//evil", FILE, "not in its shortest form"),
        ("/evil", FILE, "not a plain relative path"),
        ("b/a\\..\\evil", FILE, "not a plain relative path"),
        ("C:/evil", FILE, "not a plain relative path"),
        ("b/evil", stat.S_IFLNK | 0o777, "is a link or a device"),
        ("b/evil", stat.S_IFIFO | 0o644, "is a link or a device"),
        ("evil", FILE, "exactly one folder"),
        (f"b/{MANIFEST}/evil", FILE, "is both a file and a folder"),
        (f"b/{MANIFEST.upper()}", FILE, "'b/manifest.json' and 'b/MANIFEST.JSON' are one file on macOS or Windows"),
        ("B/labels.txt", FILE, "'b' and 'B' are one file on macOS or Windows"),
        ("b/Nul", FILE, "is no name for a file on Windows"),
        ("b/golden/com1.bin", FILE, "is no name for a file on Windows"),
        ("b/aux.d/x", FILE, "is no name for a file on Windows"),
        ("b/labels.txt.", FILE, "is no name for a file on Windows"),
        ("b/golden /x", FILE, "is no name for a file on Windows"),
        ("b/what?", FILE, "is no name for a file on Windows"),
        (f"b/{200 * 'x'}", FILE, "has more than 200 characters"),
    ],
)
def test_a_zip_that_reaches_outside_is_not_unpacked(name: str, mode: int, complaint: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / "evil.zip", {f"b/{MANIFEST}": FILE, name: mode})
    with pytest.raises(BundleError, match=rf"evil\.zip: .*{complaint}.*not unpacked"):
        verify(path)
    assert [each.name for each in tmp_path.iterdir()] == ["evil.zip"]


def test_names_that_differ_only_in_how_letters_are_composed_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "evil.zip", {f"b/{MANIFEST}": FILE, "b/caf\u00e9": FILE, "b/cafe\u0301": FILE})
    with pytest.raises(
        BundleError, match="'b/caf\u00e9' and 'b/cafe\u0301' are one file on macOS or Windows; not unpacked"
    ):
        verify(path)


def test_a_zip_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "twice.zip", {f"b/{MANIFEST}": FILE, "b/x": FILE, "b/y": FILE})
    path.write_bytes(path.read_bytes().replace(b"b/y", b"b/x"))
    with pytest.raises(BundleError, match="'b/x' stands in it twice"):
        verify(path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_packed_in_an_unusual_way_is_refused(kind: int, tmp_path: Path) -> None:
    path = _zip(tmp_path / "odd.zip", {f"b/{MANIFEST}": FILE}, kind)
    with pytest.raises(BundleError, match="is compressed in a way that bundles are not"):
        verify(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "secret.zip", {f"b/{MANIFEST}": FILE})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="is encrypted"):
        verify(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.zip", {f"b/{MANIFEST}": FILE}, zipfile.ZIP_DEFLATED, bytes(65 * 1024**2))
    assert path.stat().st_size < 100_000
    with pytest.raises(BundleError, match=r"\d+ bytes that unpack to 68157440, which no bundle's do; not unpacked"):
        verify(path)


def test_an_entry_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path) -> None:
    path = _zip(tmp_path / "huge.zip", {f"b/{MANIFEST}": FILE})
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = (3 * 1024**3).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"larger than .* 2147483648 bytes \('b/manifest\.json': 3221225472\)"):
        verify(path)


def test_an_entry_with_more_in_it_than_it_says_is_not_unpacked_further(tmp_path: Path) -> None:
    path = _zip(tmp_path / "liar.zip", {f"b/{MANIFEST}": FILE}, zipfile.ZIP_DEFLATED, bytes(10_000))
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"b/manifest\.json: cannot be unpacked: Bad CRC"):
        verify(path)


def test_many_entries_are_refused_at_once(tmp_path: Path) -> None:
    path = _zip(tmp_path / "many.zip", {f"b/{number}": FILE for number in range(1001)}, data=b"")
    with pytest.raises(BundleError, match="larger than 1000 files"):
        verify(path)


def test_a_flipped_byte_inside_the_zip_is_found_and_the_file_named(server: Bundle) -> None:
    model = (server.folder / "model-fp32.onnx").read_bytes()
    data = bytearray(server.archive.read_bytes())
    data[data.index(model) + len(model) // 2] ^= 1
    server.archive.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{server.archive}: server-cpu/model-fp32\.onnx: cannot be unpacked: Bad"):
        verify(server.archive)


def test_a_zip_that_was_packed_again_by_another_tool_passes(server: Bundle, tmp_path: Path) -> None:
    again = shutil.make_archive(str(tmp_path / "again"), "zip", server.folder.parent, "server-cpu")
    assert verify(Path(again)).complete


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_half_a_zip_is_an_error(server: Bundle, kept: int) -> None:
    server.archive.write_bytes(server.archive.read_bytes()[:kept])
    with pytest.raises(BundleError, match=r"server-cpu\.zip: not a readable \.zip"):
        verify(server.archive)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_zip_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.zip"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"any\.zip: not a readable \.zip"):
        verify(path)


def _also_listed(name: str) -> Callable[[dict[str, Any]], None]:
    """Lists a copy of the labels under another name, with its right sum."""

    def edit(document: dict[str, Any]) -> None:
        labels = next(each for each in document["files"] if each["path"] == "labels.txt")
        document["files"].append({**labels, "path": name})

    return edit


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("LABELS.TXT", "one file .*on macOS or Windows"),
        ("Golden/x", "one file .*on macOS or Windows"),
        ("com1.txt", "no name for a file on Windows"),
        ("a\\b", "no name for a file on Windows|not a plain relative path"),
    ],
)
def test_names_that_are_none_on_another_system_are_refused_in_a_folder_too(
    name: str, complaint: str, server: Bundle, forge: Forge
) -> None:
    (server.folder / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(server.folder / "labels.txt", server.folder / name)
    forge(server.folder, _also_listed(name))
    with pytest.raises(BundleError, match=rf"manifest\.json: files: .*{complaint}"):
        verify(server.folder)
    done = subprocess.run([sys.executable, server.folder / "verify.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and re.search(rf"^WRONG .*{complaint}", done.stdout), done.stdout + done.stderr


def test_a_link_is_refused_even_to_the_right_bytes(server: Bundle, tmp_path: Path) -> None:
    labels = server.folder / "labels.txt"
    labels.rename(tmp_path / "elsewhere.txt")
    labels.symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(BundleError, match=r"labels\.txt: a link or a device, not a file"):
        verify(server.folder)


def test_a_linked_folder_is_refused(server: Bundle, tmp_path: Path) -> None:
    (server.folder / "golden").rename(tmp_path / "elsewhere")
    (server.folder / "golden").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"golden: a link or a device, not a file"):
        verify(server.folder)


@pytest.mark.parametrize("name", [MANIFEST, SUMS])
def test_a_manifest_or_list_of_sums_of_gigabytes_is_not_read(server: Bundle, name: str) -> None:
    with (server.folder / name).open("r+b") as file:
        file.truncate(17 * 1024**2)
    with pytest.raises(BundleError, match=f"{name}: larger than 16777216 bytes"):
        verify(server.folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["models"][0].update(path="../../../etc/hostname"),
        lambda document: document["models"][1]["golden"]["inputs"].update(path="/etc/hostname"),
        lambda document: document["models"][1]["golden"]["outputs"].update(path="/etc/hostname"),
        lambda document: document.update(labels="/etc/hostname"),
        lambda document: document.update(example="golden/../../x"),
    ],
)
def test_a_manifest_that_points_outside_is_refused(
    edit: Callable[[dict[str, Any]], None], server: Bundle, forge: Forge
) -> None:
    forge(server.folder, edit)
    with pytest.raises(BundleError, match=r"manifest\.json: names '.*which is not one of its files"):
        verify(server.folder)


def test_a_manifest_that_lists_files_outside_is_refused(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["files"][0].update(path="/etc/hostname"))
    with pytest.raises(BundleError, match=r"manifest\.json: files: '/etc/hostname' is not a plain relative path"):
        verify(server.folder)


def test_a_folder_in_the_place_of_a_model_is_refused(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["models"][0].update(path="golden"))
    with pytest.raises(BundleError, match=r"manifest\.json: names 'golden', which is not one of its files"):
        verify(server.folder)


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ([], r"manifest\.json: models\.0\.inputs: "),
        ([{"name": "image", "shape": [], "dtype": "float32", "layout": "NCHW"}], "cannot run it"),
        ([{"name": "image", "shape": [0, 1, 8, 8], "dtype": "float32", "layout": "NCHW"}], "cannot run it"),
        ([{"name": "image", "shape": [1, 1, 8, 8], "dtype": "words", "layout": "NCHW"}], "cannot run it"),
    ],
)
def test_inputs_that_no_model_takes_are_refused_by_name(
    inputs: list[dict[str, Any]], complaint: str, server: Bundle, forge: Forge
) -> None:
    forge(server.folder, lambda document: document["models"][0].update(inputs=inputs))
    with pytest.raises(BundleError, match=complaint):
        verify(server.folder)


def test_a_golden_shape_of_astronomic_size_takes_no_memory(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["models"][0]["golden"]["inputs"].update(shape=[2**53] * 4))
    with pytest.raises(BundleError, match=r"inputs-nchw\.bin: 1024 bytes, but its shape"):
        verify(server.folder)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"schema": 2}', "[" * 100_000, '{"schema": 1e999}', "9" * 5000]
)
def test_a_malformed_manifest_is_refused_by_name(server: Bundle, text: str) -> None:
    (server.folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=rf"{server.folder}: manifest\.json: "):
        verify(server.folder)


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a document stands."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, each in inside for deeper in _paths(each, (*path, key)))]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


def test_a_manifest_with_anything_anywhere_is_read_or_refused_by_name(server: Bundle) -> None:
    text = (server.folder / MANIFEST).read_text()
    places = _paths(json.loads(text))[1:]
    digests = {record["path"]: record["sha256"] for record in json.loads(text)["files"]}

    @settings(max_examples=100)
    @given(st.sampled_from(places), JUNK)
    def check(place: tuple[Any, ...], junk: object) -> None:
        document = inner = json.loads(text)
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = junk
        data = json.dumps(document).encode()
        (server.folder / MANIFEST).write_bytes(data)
        (server.folder / SUMS).write_text(checksums(digests | {MANIFEST: sha256(data)}))
        with contextlib.suppress(BundleError):
            verify(server.folder)

    check()


@given(st.text())
def test_a_name_that_passes_stays_inside_and_in_its_shortest_form(name: str) -> None:
    if unsafe_name(name) is None:
        path = Path("/bundle") / name
        assert path.resolve(strict=False) == path
        assert path.relative_to("/bundle").as_posix() == name


PARTS = st.sampled_from(
    ["a", "A", "b", "\u00e9", "e\u0301", "\u212a", "k", "nul", "NUL.x", "nulx", "com1", "com\u00b9", "a.", "a b", "a?"]
)


@given(st.sets(st.lists(PARTS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=4))
def test_the_verifier_in_a_bundle_knows_the_same_names(names: set[str]) -> None:
    here = [each for each in problems_of(names) if "both a file and a folder" not in each]
    assert bool(here) == bool(VERIFIER["odd_names"](names))
