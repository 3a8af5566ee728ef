from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from deploy.bundle import SUMS, Bundle, BundleContents
from deploy.errors import BundleError, PackagerError
from deploy.packagers import PACKAGERS, load_packager, pack
from profilers.errors import FileError


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_contents_give_equal_bytes(bundle: Bundle, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    name = bundle.manifest.packager
    contents = request.getfixturevalue("server_contents" if name == "server-cpu" else "android_contents")
    again = pack(name, contents, tmp_path / "again")
    assert _files(again.folder) == _files(bundle.folder)
    assert again.archive.read_bytes() == bundle.archive.read_bytes()


def test_the_zip_holds_the_folder(bundle: Bundle) -> None:
    with zipfile.ZipFile(bundle.archive) as archive:
        names = archive.namelist()
        packed = {name.removeprefix(f"{bundle.folder.name}/"): archive.read(name) for name in names}
    assert packed == _files(bundle.folder)
    assert names == sorted(names)


def test_the_checksums_cover_every_other_file(bundle: Bundle) -> None:
    files = _files(bundle.folder)
    sums = files.pop(SUMS).decode()
    assert sums == "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def test_a_bundle_is_replaced_and_nothing_else_is_left(server: Bundle, server_contents: BundleContents) -> None:
    (server.folder / "stray.txt").write_text("from an older version")
    again = pack("server-cpu", replace(server_contents, name="second"), server.folder.parent)
    assert not (again.folder / "stray.txt").exists()
    assert sorted(path.name for path in server.folder.parent.iterdir()) == ["server-cpu", "server-cpu.zip"]


def test_a_folder_that_is_no_bundle_is_never_overwritten(android_contents: BundleContents, tmp_path: Path) -> None:
    project = tmp_path / "android" / "settings.gradle"
    project.parent.mkdir()
    project.write_text("mine")
    with pytest.raises(BundleError, match="in the way of the bundle"):
        pack("android", android_contents, tmp_path)
    assert project.read_text() == "mine"


def test_a_failed_packing_leaves_the_old_bundle(server: Bundle, server_contents: BundleContents) -> None:
    before = _files(server.folder.parent)
    with pytest.raises(BundleError):
        pack("server-cpu", replace(server_contents, labels=("one",)), server.folder.parent)
    assert _files(server.folder.parent) == before


def test_the_golden_files_are_little_endian_float32_in_the_layout_of_the_model(android: Bundle, images: Tensor) -> None:
    spec = android.manifest.golden.inputs
    values = np.fromfile(android.folder / spec.path, "<f4").reshape(spec.shape)
    assert spec.layout == "NHWC"
    assert np.array_equal(values, images[:4].permute(0, 2, 3, 1).numpy())


def test_a_mean_that_is_not_that_of_the_images_is_an_error(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"golden images: not \(pixel/255 - 0.31\) / 0.25 of whole pixels"):
        pack("server-cpu", replace(server_contents, mean=0.31), tmp_path)


def test_images_that_are_not_numbers_are_an_error(server_contents: BundleContents, tmp_path: Path) -> None:
    images = server_contents.golden_images * np.float32("nan")
    with pytest.raises(BundleError, match="golden images"):
        pack("server-cpu", replace(server_contents, golden_images=images), tmp_path)


def test_labels_must_match_the_logits(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="gives \\[4, 10\\] for 4 images and 9 labels"):
        pack("server-cpu", replace(server_contents, labels=server_contents.labels[:9]), tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"labels": ("a", "two\nlines")}, "one line of text"),
        ({"labels": ("a", " ")}, "one line of text"),
        ({"name": "../up"}, "bundle name '../up'"),
        ({"golden_images": np.zeros((3, 1, 8, 8), np.float32)}, "3 golden images; give 4 to 8"),
    ],
)
def test_contents_that_no_bundle_can_hold_are_refused(
    change: dict[str, object], complaint: str, server_contents: BundleContents
) -> None:
    with pytest.raises(BundleError, match=complaint):
        replace(server_contents, **change)  # type: ignore[arg-type]


def test_an_artifact_that_changed_since_its_export_is_an_error(server_contents: BundleContents, tmp_path: Path) -> None:
    changed = replace(server_contents.artifact, sha256="0" * 64)
    with pytest.raises(BundleError, match="changed since it was exported"):
        pack("server-cpu", replace(server_contents, artifact=changed), tmp_path)


def test_a_measurement_without_a_number_is_an_error_naming_the_field(
    server_contents: BundleContents, tmp_path: Path
) -> None:
    measured = replace(server_contents.measured, p90_ms=float("nan"))
    with pytest.raises(FileError, match=r"measured\.p90_ms"):
        pack("server-cpu", replace(server_contents, measured=measured), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_packager_is_an_error_listing_the_known(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(PackagerError, match="packager 'ios': there is none; there are: android, server-cpu"):
        pack("ios", server_contents, tmp_path)


def test_a_packager_refuses_another_format(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(PackagerError, match=r"m\.onnx: packager android ships tflite files, not onnx"):
        pack("android", server_contents, tmp_path)


@pytest.mark.parametrize("name", PACKAGERS)
def test_packagers_are_named_as_they_are_registered(name: str) -> None:
    assert load_packager(name).name == name


def test_the_model_card_says_how_its_numbers_were_obtained(bundle: Bundle) -> None:
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    for fact in ("98.61 %", "96.79 % to 99.41 %", "360 test images", "0.420", "0.410", "0.500", "0.470"):
        assert fact in card
    for fact in ("Imaginary 3000", "1.23.0", "| threads | 2 |", "fp32", "1234 inferences", "1.2 %", "5 rounds", "CC0"):
        assert fact in card


def test_the_kotlin_constants_are_those_of_the_manifest(android: Bundle) -> None:
    classifier = (android.folder / "app/src/main/kotlin/millis/Classifier.kt").read_text()
    constants = dict(re.findall(r"const val (\w+) = (.+)", classifier))
    assert constants == {
        "HEIGHT": "8", "WIDTH": "8", "CHANNELS": "1", "MEAN": "0.3f", "STD": "0.25f", "THREADS": "2",
        "MODEL": '"millis/model.tflite"', "LABELS": '"millis/labels.txt"',
    }  # fmt: skip
    golden = (android.folder / "app/src/androidTest/kotlin/millis/GoldenTest.kt").read_text()
    assert f"const val TOLERANCE = {android.manifest.golden.tolerance}f" in golden


def test_the_python_sample_prints_the_label_that_the_goldens_say(server: Bundle) -> None:
    logits = np.fromfile(server.folder / "golden_outputs.bin", "<f4").reshape(4, 10)[0]
    label = f"digit {logits.argmax()}"
    command = [sys.executable, "classify.py", "example.png", "--top", "2"]
    lines = subprocess.run(command, cwd=server.folder, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].split("\t")[0] == label
    assert f"`{label}`" in (server.folder / "README.md").read_text()
