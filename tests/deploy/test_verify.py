from __future__ import annotations

import dataclasses
import random
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.bundle import Bundle, write_bundle
from deploy.errors import BundleError
from deploy.manifest import MANIFEST
from deploy.packager import BundleContents
from deploy.packagers import load_packager, pack
from deploy.sums import SUMS
from deploy.verify import verify
from tests.deploy.conftest import MakeContents, MakeVariant, shipped

Forge = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def _nothing(document: dict[str, Any]) -> None:
    del document


def _flip(path: Path, position: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        [value] = file.read(1)
        file.seek(position)
        file.write(bytes([value ^ 1 << bit]))


@pytest.mark.parametrize("part", ["folder", "archive"])
def test_a_whole_bundle_passes_every_check(bundle: Bundle, part: str) -> None:
    verification = verify(getattr(bundle, part))
    models = [f"golden {model.name}" for model in bundle.manifest.models]
    assert verification.complete
    assert verification.manifest == bundle.manifest
    assert [check.name for check in verification.checks] == ["manifest", "files", "preprocessing", *models]
    assert "4 images" in verification.checks[-1].detail


def test_a_flipped_byte_in_any_file_is_found_and_the_file_named(bundle: Bundle) -> None:
    for path in [path for path in bundle.folder.rglob("*") if path.is_file()]:
        size = path.stat().st_size
        for position in (0, size - 1):
            _flip(path, position)
            with pytest.raises(BundleError, match=rf"{bundle.folder}: .*{path.relative_to(bundle.folder)}"):
                verify(bundle.folder)
            _flip(path, position)
    assert verify(bundle.folder).complete


def test_a_byte_flipped_at_100_random_places_is_found_100_times_and_the_file_named(bundle: Bundle) -> None:
    places = random.Random(6)
    files = sorted(path for path in bundle.folder.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    for path in places.choices(files, weights=sizes, k=100):
        position, bit = places.randrange(path.stat().st_size), places.randrange(8)
        _flip(path, position, bit)
        with pytest.raises(BundleError, match=rf"{bundle.folder}: .*{path.relative_to(bundle.folder)}"):
            verify(bundle.folder)
        _flip(path, position, bit)


def test_a_byte_flipped_at_100_random_places_of_the_zip_is_found_100_times(bundle: Bundle) -> None:
    places, size = random.Random(6), bundle.archive.stat().st_size
    content = bundle.archive.read_bytes()
    for _ in range(100):
        position, bit = places.randrange(size), places.randrange(8)
        _flip(bundle.archive, position, bit)
        with pytest.raises(BundleError, match=str(bundle.archive)) as failure:
            verify(bundle.archive)
        assert _file_at(bundle, content, position) in str(failure.value)
        _flip(bundle.archive, position, bit)


def test_a_flipped_byte_of_a_zip_that_no_reader_looks_at_is_found(server: Bundle) -> None:
    """The dates of the entries, who made them, how many there are: bytes after the last file."""
    content = server.archive.read_bytes()
    for position in range(content.index(b"PK\1\2"), len(content), 31):
        _flip(server.archive, position)
        with pytest.raises(BundleError, match=str(server.archive)):
            verify(server.archive)
        _flip(server.archive, position)


def _file_at(bundle: Bundle, content: bytes, position: int) -> str:
    """The file whose bytes lie at a position of the .zip; nothing for its headers."""
    for path in bundle.folder.rglob("*"):
        if path.is_file() and (data := path.read_bytes()):
            begin = content.index(f"{bundle.folder.name}/{path.relative_to(bundle.folder).as_posix()}".encode() + data)
            header = len(str(path.relative_to(bundle.folder.parent)))
            if begin + header <= position < begin + header + len(data):
                return path.relative_to(bundle.folder).as_posix()
    return ""


def test_a_flipped_byte_of_a_model_blames_only_the_model(server: Bundle) -> None:
    _flip(server.folder / "model-fp32.onnx", 100)
    with pytest.raises(BundleError) as failure:
        verify(server.folder)
    assert str(failure.value) == f"{server.folder}: model-fp32.onnx: its sha256 is not the one listed"


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


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        verify(tmp_path / "missing")


@pytest.mark.parametrize("number", [0, 1])
def test_golden_outputs_that_a_model_does_not_give_are_an_error(server: Bundle, forge: Forge, number: int) -> None:
    model = server.manifest.models[number]
    path = server.folder / model.golden.outputs.path
    values = np.fromfile(path, "<f4")
    values[3] += 10 * model.golden.tolerance
    path.write_bytes(values.tobytes())
    forge(server.folder, _nothing)
    complaint = rf"outputs-{model.name}\.bin: not what {model.path} gives here: 4 images, .* off by"
    with pytest.raises(BundleError, match=complaint):
        verify(server.folder)


def test_golden_outputs_that_are_not_numbers_are_an_error(server: Bundle, forge: Forge) -> None:
    path = server.folder / server.manifest.model.golden.outputs.path
    path.write_bytes(np.full(40, np.nan, "<f4").tobytes())
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match="off by nan"):
        verify(server.folder)


def test_golden_values_that_do_not_fill_their_shape_are_an_error(server: Bundle, forge: Forge) -> None:
    (server.folder / server.manifest.model.golden.outputs.path).write_bytes(b"\0" * 156)
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"outputs-onnxruntime-int8\.bin: 156 bytes, .* \[4, 10\] takes 160"):
        verify(server.folder)


def test_preprocessing_that_does_not_give_the_golden_inputs_is_an_error(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["preprocessing"].update(std=0.5))
    with pytest.raises(BundleError, match=r"manifest\.json: preprocessing turns example\.png into values"):
        verify(server.folder)


def test_an_example_that_is_no_image_is_an_error(server: Bundle, forge: Forge) -> None:
    (server.folder / "example.png").write_bytes(b"no image")
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"example\.png: not a PNG image"):
        verify(server.folder)


@pytest.mark.parametrize("size", [(9, 8), (12_000, 10_000), (60_000, 60_000)])
def test_an_example_of_another_size_is_an_error_before_it_is_unpacked(
    server: Bundle, forge: Forge, size: tuple[int, int]
) -> None:
    data = bytearray((server.folder / "example.png").read_bytes())
    data[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (server.folder / "example.png").write_bytes(data)
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"example\.png: (not a PNG image: .* exceeds limit|9x8 pixels, not 8x8)"):
        verify(server.folder)


@pytest.mark.parametrize("fixture", ["server", "android"])
@pytest.mark.parametrize("content", [b"not a model", b""])
def test_a_model_that_the_runtime_refuses_is_an_error(
    fixture: str, content: bytes, forge: Forge, request: pytest.FixtureRequest
) -> None:
    bundle: Bundle = request.getfixturevalue(fixture)
    model = bundle.manifest.model
    (bundle.folder / model.path).write_bytes(content or bytes(1000))
    forge(bundle.folder, _nothing)
    with pytest.raises(BundleError, match=f"{model.path}: {model.runtime} cannot run it"):
        verify(bundle.folder)


def test_a_missing_label_is_an_error(server: Bundle, forge: Forge) -> None:
    (server.folder / "labels.txt").write_text("one\ntwo\n")
    forge(server.folder, _nothing)
    with pytest.raises(BundleError, match=r"labels\.txt: 2 labels for 10 outputs of model-int8\.onnx"):
        verify(server.folder)


def test_a_size_that_is_not_the_models_is_an_error(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["models"][1].update(size_bytes=7))
    with pytest.raises(BundleError, match=r"manifest\.json: lists model-fp32\.onnx with 7 bytes, it has"):
        verify(server.folder)


def test_a_runtime_that_is_not_installed_leaves_the_golden_outputs_unchecked(
    server: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    verification = verify(server.folder)
    assert not verification.complete
    assert "onnxruntime is not installed on this machine" in verification.checks[-1].detail


def test_a_model_that_nothing_here_runs_is_told_as_unchecked(
    variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    made = dataclasses.replace(variant("onnxruntime", "fp16"), runtime="abacus")
    packager = dataclasses.replace(load_packager("server-gpu"), runtimes=("abacus",))
    verification = verify(write_bundle(packager, contents(shipped(made, is_measured=False)), tmp_path).folder)
    assert not verification.complete
    assert verification.checks[-1].detail.startswith("nothing on this machine runs abacus files")


def test_an_unknown_runtime_that_is_said_to_have_run_is_an_error(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["models"][0].update(runtime="abacus"))
    with pytest.raises(BundleError, match="runtime 'abacus' is not available"):
        verify(server.folder)


def test_an_older_reader_refuses_a_newer_manifest(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document.update(schema=3))
    with pytest.raises(BundleError, match=r"manifest\.json: schema: .*version 3, .*reads version 2"):
        verify(server.folder)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_file_of_another_network_is_found_in_every_precision(
    precision: Any, variant: MakeVariant, contents: MakeContents, tmp_path: Path, forge: Forge
) -> None:
    """Its labels were turned by one, as when two versions of a data set disagree."""
    bundle = pack("server-cpu", contents(shipped(variant("onnxruntime", precision))), tmp_path)
    path = bundle.folder / bundle.manifest.model.golden.outputs.path
    outputs = np.fromfile(path, "<f4").reshape(4, 10)
    path.write_bytes(np.roll(outputs, 1, axis=1).tobytes())
    forge(bundle.folder, _nothing)
    with pytest.raises(BundleError, match="not what model"):
        verify(bundle.folder)


def test_verifying_leaves_nothing_behind(server_contents: BundleContents, tmp_path: Path) -> None:
    bundle = pack("server-cpu", server_contents, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    verify(bundle.archive)
    assert sorted(tmp_path.rglob("*")) == before
