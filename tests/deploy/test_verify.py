from __future__ import annotations

import io
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.archive import unsafe_name
from deploy.bundle import SUMS, Bundle
from deploy.errors import BundleError
from deploy.manifest import MANIFEST
from deploy.verify import verify

Forge = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def _nothing(document: dict[str, Any]) -> None:
    del document


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["folder", "archive"])
def test_a_whole_bundle_passes_every_check(bundle: Bundle, part: str) -> None:
    verification = verify(getattr(bundle, part))
    assert verification.complete
    assert verification.manifest == bundle.manifest
    assert [check.name for check in verification.checks] == ["manifest", "files", "preprocessing", "golden"]
    assert "4 images" in verification.checks[-1].detail


def test_a_flipped_byte_in_any_file_is_found_and_the_file_named(bundle: Bundle) -> None:
    for path in [path for path in bundle.folder.rglob("*") if path.is_file()]:
        size = path.stat().st_size
        for position in (0, size // 2, size - 1):
            _flip(path, position)
            with pytest.raises(BundleError, match=rf"{bundle.folder}: .*{path.relative_to(bundle.folder)}"):
                verify(bundle.folder)
            _flip(path, position)
    assert verify(bundle.folder).complete


def test_a_flipped_byte_of_a_model_blames_only_the_model(server: Bundle) -> None:
    _flip(server.folder / "model.onnx", 100)
    with pytest.raises(BundleError) as failure:
        verify(server.folder)
    assert str(failure.value) == f"{server.folder}: model.onnx: its sha256 is not the one listed"


def test_a_flipped_byte_of_the_checksums_blames_only_the_checksums(server: Bundle) -> None:
    line = (server.folder / SUMS).read_text().index("  labels.txt") - 1
    _flip(server.folder / SUMS, line)
    with pytest.raises(BundleError) as failure:
        verify(server.folder)
    assert str(failure.value) == f"{server.folder}: {SUMS}: does not agree with {MANIFEST}"


def test_every_wrong_file_stands_in_the_one_line(server: Bundle) -> None:
    (server.folder / "labels.txt").unlink()
    (server.folder / "notes.txt").write_text("mine")
    _flip(server.folder / "README.md", 0)
    complaint = "README.md: its sha256 .*; labels.txt: missing; notes.txt: not listed in manifest.json$"
    with pytest.raises(BundleError, match=complaint):
        verify(server.folder)


@pytest.mark.parametrize("name", [MANIFEST, SUMS])
def test_a_folder_without_manifest_or_checksums_is_no_bundle(server: Bundle, name: str) -> None:
    (server.folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing; not a bundle"):
        verify(server.folder)


def test_a_link_is_refused_even_to_the_right_bytes(server: Bundle, tmp_path: Path) -> None:
    labels = server.folder / "labels.txt"
    labels.rename(tmp_path / "elsewhere.txt")
    labels.symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(BundleError, match=r"labels\.txt: a link or a device, not a file"):
        verify(server.folder)


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        verify(tmp_path / "missing")


def test_golden_outputs_that_the_model_does_not_give_are_an_error(bundle: Bundle, forge: Forge) -> None:
    path = bundle.folder / bundle.manifest.golden.outputs.path
    values = np.fromfile(path, "<f4")
    values[3] += 10 * bundle.manifest.golden.tolerance
    path.write_bytes(values.tobytes())
    forge(bundle.folder, _nothing)
    with pytest.raises(
        BundleError, match=r"golden_outputs\.bin: not what .*model\.\w+ gives here: 4 images, .* off by"
    ):
        verify(bundle.folder)


def test_golden_outputs_that_are_not_numbers_are_an_error(server: Bundle, forge: Forge) -> None:
    path = server.folder / "golden_outputs.bin"
    path.write_bytes(np.full(40, np.nan, "<f4").tobytes())
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match="off by nan"):
        verify(server.folder)


def test_golden_values_that_do_not_fill_their_shape_are_an_error(server: Bundle, forge: Forge) -> None:
    (server.folder / "golden_outputs.bin").write_bytes(b"\0" * 156)
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"golden_outputs\.bin: 156 bytes, but its shape \[4, 10\] takes 160"):
        verify(server.folder)


def test_preprocessing_that_does_not_give_the_golden_inputs_is_an_error(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["preprocessing"].update(std=0.5))
    with pytest.raises(BundleError, match=r"manifest\.json: preprocessing turns example\.png into values"):
        verify(server.folder)


def test_an_example_that_is_no_image_is_an_error(server: Bundle, forge: Forge) -> None:
    (server.folder / "example.png").write_bytes(b"no image")
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"example\.png: not an image"):
        verify(server.folder)


def test_a_model_that_the_runtime_refuses_is_an_error(android: Bundle, forge: Forge) -> None:
    model = android.manifest.model.path
    (android.folder / model).write_bytes(b"not a model")
    forge(android.folder, _nothing)
    with pytest.raises(BundleError, match=f"{model}: litert cannot run it"):
        verify(android.folder)


def test_a_missing_label_is_an_error(server: Bundle, forge: Forge) -> None:
    (server.folder / "labels.txt").write_text("one\ntwo\n")
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"labels\.txt: 2 labels for 10 logits"):
        verify(server.folder)


def test_a_manifest_that_points_outside_is_refused(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["model"].update(path="../../../etc/hostname"))
    with pytest.raises(BundleError, match=r"manifest\.json: names '\.\./.*which is not one of its files"):
        verify(server.folder)


def test_a_manifest_that_lists_files_outside_is_refused(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["files"][0].update(path="/etc/hostname"))
    with pytest.raises(BundleError, match=r"manifest\.json: files: '/etc/hostname' is not a plain relative path"):
        verify(server.folder)


def test_a_runtime_that_is_not_installed_leaves_the_golden_outputs_unchecked(
    server: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    verification = verify(server.folder)
    assert not verification.complete
    assert "onnxruntime is not installed on this machine" in verification.checks[-1].detail


def test_an_unknown_runtime_is_an_error(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["measured"].update(runtime="abacus"))
    with pytest.raises(BundleError, match="runtime 'abacus' is not available"):
        verify(server.folder)


def test_a_flipped_byte_inside_the_zip_is_found_and_the_file_named(server: Bundle) -> None:
    model = (server.folder / "model.onnx").read_bytes()
    _flip(server.archive, server.archive.read_bytes().index(model) + len(model) // 2)
    with pytest.raises(BundleError, match=rf"{server.archive}: server-cpu/model\.onnx: cannot be unpacked: Bad CRC"):
        verify(server.archive)


def test_a_zip_that_was_packed_again_by_another_tool_passes(server: Bundle, tmp_path: Path) -> None:
    again = shutil.make_archive(str(tmp_path / "again"), "zip", server.folder.parent, "server-cpu")
    assert verify(Path(again)).complete


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_half_a_zip_is_an_error(server: Bundle, kept: int) -> None:
    server.archive.write_bytes(server.archive.read_bytes()[:kept])
    with pytest.raises(BundleError, match=r"server-cpu\.zip: not a readable \.zip"):
        verify(server.archive)


def _zip(path: Path, entries: dict[str, int]) -> Path:
    """A .zip with an empty entry for each name, of the given Unix mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, mode in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"/etc/hostname")
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("name", "mode", "complaint"),
    [
        ("b/../../evil", 0o100644, "leads outside"),
        ("../evil", 0o100644, "leads outside"),
        ("/evil", 0o100644, "not a plain relative path"),
        ("b/a\\..\\evil", 0o100644, "not a plain relative path"),
        ("C:/evil", 0o100644, "not a plain relative path"),
        ("b/evil", stat.S_IFLNK | 0o777, "a link or a device"),
        ("evil", 0o100644, "exactly one folder"),
    ],
)
def test_a_zip_that_reaches_outside_is_not_unpacked(name: str, mode: int, complaint: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / "evil.zip", {f"b/{MANIFEST}": 0o100644, name: mode})
    with pytest.raises(BundleError, match=rf"evil\.zip: .*{complaint}.*not unpacked"):
        verify(path)


def test_a_zip_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "twice.zip", {f"b/{MANIFEST}": 0o100644, "b/x": 0o100644, "b/y": 0o100644})
    path.write_bytes(path.read_bytes().replace(b"b/y", b"b/x"))
    with pytest.raises(BundleError, match="'b/x' stands in it twice"):
        verify(path)


def test_a_zip_beyond_the_size_limit_is_not_unpacked(server: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.archive.MAX_BYTES", 1000)
    with pytest.raises(BundleError, match=r"larger than .* 1000 bytes; not unpacked"):
        verify(server.archive)


def test_an_older_reader_refuses_a_newer_manifest(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document.update(schema=2))
    with pytest.raises(BundleError, match=r"manifest\.json: schema: .*version 2, .*reads version 1"):
        verify(server.folder)


@given(st.text())
def test_a_name_that_passes_stays_inside_and_in_its_shortest_form(name: str) -> None:
    if unsafe_name(name) is None:
        path = Path("/bundle") / name
        assert path.resolve(strict=False) == path
        assert path.relative_to("/bundle").as_posix() == name
