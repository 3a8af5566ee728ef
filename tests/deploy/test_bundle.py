from __future__ import annotations

import re
import resource
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from deploy import golden
from deploy.bundle import Bundle, write_bundle
from deploy.errors import BundleError, PackagerError
from deploy.manifest import Accuracy, Calibration, Refused
from deploy.models import parted
from deploy.packager import BundleContents, Packager
from deploy.packagers import PACKAGERS, load_packager, pack
from deploy.sums import SUMS, folder_sha256, sha256
from deploy.variant import Verdict
from profilers.artifact import Artifact
from profilers.errors import FileError
from profilers.precision import Precision
from tests.deploy.conftest import MakeContents, MakeVariant, left_out, shipped

REFUSED = Refused(runtime="onnxruntime", precision="fp16", reason="no such cast")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_contents_give_equal_bytes(bundle: Bundle, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    name = bundle.manifest.packager
    fixture = {"server-cpu": "server_contents", "server-gpu": "gpu_contents", "android": "android_contents"}[name]
    again = pack(name, request.getfixturevalue(fixture), tmp_path / "again")
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
    assert sums == "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files))


def test_a_bundle_is_replaced_and_nothing_else_is_left(server: Bundle, server_contents: BundleContents) -> None:
    (server.folder / "stray.txt").write_text("from an older version")
    again = pack("server-cpu", replace(server_contents, name="second"), server.folder.parent)
    assert not (again.folder / "stray.txt").exists()
    assert sorted(path.name for path in server.folder.parent.iterdir()) == ["server-cpu", "server-cpu.zip"]


def test_a_folder_that_is_no_bundle_is_never_overwritten(server_contents: BundleContents, tmp_path: Path) -> None:
    project = tmp_path / "server-cpu" / "main.py"
    project.parent.mkdir()
    project.write_text("mine")
    with pytest.raises(BundleError, match="in the way of the bundle"):
        pack("server-cpu", server_contents, tmp_path)
    assert project.read_text() == "mine"


def test_a_failed_packing_leaves_the_old_bundle(server: Bundle, server_contents: BundleContents) -> None:
    before = _files(server.folder.parent)
    with pytest.raises(BundleError):
        pack("server-cpu", replace(server_contents, labels=("one",)), server.folder.parent)
    assert _files(server.folder.parent) == before


def test_a_full_disk_leaves_the_old_bundle_and_nothing_half_written(
    server: Bundle, server_contents: BundleContents
) -> None:
    before = _files(server.folder.parent)
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (server.archive.stat().st_size - 1, room[1]))  # too little for the .zip
    try:
        with pytest.raises(BundleError, match=rf"^{server.folder}: cannot be written: File too large; nothing half-wr"):
            pack("server-cpu", server_contents, server.folder.parent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert _files(server.folder.parent) == before


@pytest.mark.parametrize("fixture", ["server", "android"])
def test_the_golden_inputs_are_little_endian_float32_as_the_model_takes_them(
    fixture: str, images: Tensor, request: pytest.FixtureRequest
) -> None:
    bundle: Bundle = request.getfixturevalue(fixture)
    spec = bundle.manifest.model.golden.inputs
    values = np.fromfile(bundle.folder / spec.path, "<f4").reshape(spec.shape)
    assert spec.layout == bundle.manifest.model.inputs[0].layout == ("NHWC" if fixture == "android" else "NCHW")
    assert np.array_equal(golden.from_layout(values, spec.layout), images[:4].numpy())


def test_every_model_has_its_own_golden_outputs(server: Bundle, server_contents: BundleContents) -> None:
    int8, fp32 = server.manifest.models
    outputs = {model.name: np.fromfile(server.folder / model.golden.outputs.path, "<f4") for model in (int8, fp32)}
    expected = server_contents.golden_logits.ravel()
    assert abs(outputs["onnxruntime-fp32"] - expected).max() <= fp32.golden.tolerance
    assert 0 < abs(outputs["onnxruntime-int8"] - expected).max() <= int8.golden.tolerance
    assert fp32.golden.inputs == int8.golden.inputs


def test_every_model_takes_and_gives_float32(bundle: Bundle) -> None:
    for model in bundle.manifest.models:
        assert {tensor.dtype for tensor in (*model.inputs, *model.outputs)} == {"float32"}


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "int8"), ("litert", "int8"), ("litert", "fp16")])
def test_a_tolerance_tells_quantisation_from_another_image(
    runtime: str, precision: Precision, variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    made = variant(runtime, precision)
    packager = {"onnxruntime": "server-cpu", "litert": "android"}[runtime]
    bundle = pack(packager, contents(shipped(made)), tmp_path)
    spec = bundle.manifest.model.golden
    outputs = np.fromfile(bundle.folder / spec.outputs.path, "<f4").reshape(spec.outputs.shape)
    assert abs(outputs - np.roll(outputs, 1, axis=0)).max() > spec.tolerance


def test_what_the_finished_file_gives_is_golden(server_contents: BundleContents, tmp_path: Path) -> None:
    """A packager that ships another network than was compiled cannot pass it off."""
    other = server_contents.shipped[1].candidate.variant.artifact.path.read_bytes()
    packager = replace(load_packager("server-cpu"), finished=lambda model, contents: other)
    int8, fp32 = write_bundle(packager, server_contents, tmp_path).manifest.models
    outputs = [(tmp_path / "server-cpu" / model.golden.outputs.path).read_bytes() for model in (int8, fp32)]
    assert outputs[0] == outputs[1]


def test_a_model_that_nothing_here_runs_has_the_outputs_of_pytorch(
    variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    made = replace(variant("litert", "fp32"), runtime="abacus")
    packager = replace(load_packager("server-gpu"), runtimes=("abacus",), precisions=("fp32",))
    bundle = write_bundle(packager, contents(shipped(made, is_measured=False)), tmp_path)
    spec = bundle.manifest.model.golden
    outputs = np.fromfile(bundle.folder / spec.outputs.path, "<f4").reshape(4, 10)
    assert not spec.ran
    assert outputs.sum(axis=1) == pytest.approx(1)


def test_a_model_that_is_a_folder_is_shipped_file_by_file(
    variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    package = tmp_path / "m.mlpackage"
    parts = {"Manifest.json": b"{}", "Data/weights.bin": b"\0\1"}
    for name, data in parts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(data)
    bundle = write_bundle(_folder_packager(), contents(_folder_verdict(variant, package, parts)), tmp_path)
    assert _files(bundle.folder / "classifier.mlpackage") == parts
    assert bundle.manifest.model.size_bytes == 4


def test_a_folder_with_a_byte_changed_is_an_error(variant: MakeVariant, contents: MakeContents, tmp_path: Path) -> None:
    package = tmp_path / "m.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_bytes(b"{ }")
    made = _folder_verdict(variant, package, {"Manifest.json": b"{}"})
    with pytest.raises(BundleError, match=r"m\.mlpackage: changed since it was exported"):
        write_bundle(_folder_packager(), contents(made), tmp_path)


def _folder_packager() -> Packager:
    return replace(
        load_packager("server-gpu"), runtimes=("abacus",), model=lambda variant, is_main: "classifier.mlpackage"
    )


def _folder_verdict(variant: MakeVariant, package: Path, parts: dict[str, bytes]) -> Verdict:
    made = variant("onnxruntime", "fp16")
    artifact = Artifact(
        path=package,
        format="mlpackage",
        inputs=made.artifact.inputs,
        outputs=made.artifact.outputs,
        size_bytes=sum(map(len, parts.values())),
        sha256=folder_sha256(parts),
    )
    folder = replace(made, runtime="abacus", artifact=artifact, answers="probabilities", parity=None)
    return shipped(folder, is_measured=False)


def test_without_alternatives_a_runtime_ships_only_its_best(variant: MakeVariant) -> None:
    best, other = shipped(variant("onnxruntime", "int8")), shipped(variant("onnxruntime", "fp32"))
    litert = shipped(variant("litert", "fp32"))
    packager = replace(load_packager("server-cpu"), alternatives=False)
    chosen, left = parted(packager, [best, other, litert])
    assert chosen == [best, litert]
    assert [each.reason for each in left] == ["onnxruntime-fp32 is fit; onnxruntime-int8 is preferred"]


def test_a_packager_of_a_single_model_ships_the_best_of_all(variant: MakeVariant) -> None:
    best, other = shipped(variant("onnxruntime", "int8")), shipped(variant("litert", "fp32"))
    packager = replace(load_packager("server-cpu"), alternatives=False, single=True)
    assert parted(packager, [best, other])[0] == [best]


def test_what_is_left_out_is_recorded_with_its_figures_and_why(android: Bundle) -> None:
    [left] = android.manifest.left_out
    assert (left.runtime, left.precision, left.reason) == ("litert", "int8", "slower than fp32")
    assert left.validation == Accuracy.of(correct=117, images=120)
    assert left.measured[0].measured_ms == 0.25
    assert not list(android.folder.rglob("*int8*"))


def test_a_mean_that_is_not_that_of_the_images_is_an_error(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"golden images: not \(pixel/255 - 0.31\) / 0.25 of whole pixels"):
        pack("server-cpu", replace(server_contents, mean=0.31), tmp_path)


def test_images_that_are_not_numbers_are_an_error(server_contents: BundleContents, tmp_path: Path) -> None:
    images = server_contents.golden_images * np.float32("nan")
    with pytest.raises((BundleError, FileError), match=r"golden"):
        pack("server-cpu", replace(server_contents, golden_images=images), tmp_path)


def test_labels_must_match_the_outputs(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="gives \\[4, 10\\] for 4 images and 9 labels"):
        pack("server-cpu", replace(server_contents, labels=server_contents.labels[:9]), tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"labels": ("a", "two\nlines")}, "one line of text"),
        ({"labels": ("a", " ")}, "one line of text"),
        ({"name": "../up"}, "bundle name '../up'"),
        ({"golden_images": np.zeros((3, 1, 8, 8), np.float32)}, "3 golden images; give 4 to 8"),
        ({"verdicts": ()}, "no file to ship"),
    ],
)
def test_contents_that_no_bundle_can_hold_are_refused(
    change: dict[str, object], complaint: str, server_contents: BundleContents
) -> None:
    with pytest.raises(BundleError, match=complaint):
        replace(server_contents, **change)  # type: ignore[arg-type]


def test_nothing_fit_to_ship_is_an_error_that_says_why(variant: MakeVariant, contents: MakeContents) -> None:
    with pytest.raises(BundleError, match="no file to ship; onnxruntime-int8: slower than fp32"):
        contents(left_out(variant("onnxruntime", "int8")))


def test_a_precision_that_could_not_be_made_is_told_where_nothing_else_is_left(server_contents: BundleContents) -> None:
    with pytest.raises(BundleError, match="no file to ship; onnxruntime-fp16 could not be made: no such cast"):
        replace(server_contents, verdicts=(), refused=(REFUSED,))


def test_a_precision_that_could_not_be_made_is_recorded_with_its_reason(
    server_contents: BundleContents, tmp_path: Path
) -> None:
    bundle = pack("server-cpu", replace(server_contents, refused=(REFUSED,)), tmp_path)
    assert bundle.manifest.refused == (REFUSED,)
    assert "onnxruntime fp16 could not be made: no such cast\n" in (bundle.folder / "MODEL_CARD.md").read_text()


def test_what_int8_was_calibrated_on_is_recorded(server_contents: BundleContents, tmp_path: Path) -> None:
    told = Calibration(images=48, description="of those that the weights were trained on")
    bundle = pack("server-cpu", replace(server_contents, calibration=told), tmp_path)
    assert bundle.manifest.calibration == told
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert "\nint8 takes its ranges from 48 images of those that the weights were trained on.\n\n## Latency" in card


def test_an_artifact_that_changed_since_its_export_is_an_error(
    variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    made = variant("onnxruntime", "fp32")
    changed = replace(made, artifact=replace(made.artifact, sha256="0" * 64))
    with pytest.raises(BundleError, match="changed since it was exported"):
        pack("server-cpu", contents(shipped(changed)), tmp_path)


def test_a_model_with_8_bit_edges_is_refused(variant: MakeVariant, contents: MakeContents, tmp_path: Path) -> None:
    made = variant("onnxruntime", "fp32")
    [given] = made.artifact.inputs
    changed = replace(made, artifact=replace(made.artifact, inputs=(replace(given, dtype="int8"),)))
    with pytest.raises(BundleError, match="its image is int8; a bundle's models take and give float32"):
        pack("server-cpu", contents(shipped(changed)), tmp_path)


def test_a_measurement_without_a_number_is_an_error_naming_the_field(
    variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    verdict = shipped(variant("onnxruntime", "fp32"))
    [found] = verdict.candidate.measured
    wrong = replace(verdict.candidate, measured=(replace(found, p90_ms=float("nan")),))
    with pytest.raises(FileError, match=r"models\.0\.measured\.0\.p90_ms"):
        pack("server-cpu", contents(replace(verdict, candidate=wrong)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_packager_is_an_error_listing_the_known(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(PackagerError, match="packager 'palm': there is none; there are: android, ios, web, linux"):
        pack("palm", server_contents, tmp_path)


def test_a_packager_refuses_the_files_of_another_runtime(server_contents: BundleContents, tmp_path: Path) -> None:
    with pytest.raises(PackagerError, match=r"m\.onnx: packager android ships .* of litert, not onnxruntime-int8"):
        pack("android", server_contents, tmp_path)


def test_a_model_that_no_device_measured_is_refused_where_one_must(
    variant: MakeVariant, contents: MakeContents, tmp_path: Path
) -> None:
    with pytest.raises(PackagerError, match=r"server-cpu: onnxruntime-fp32 was not measured on any device"):
        pack("server-cpu", contents(shipped(variant("onnxruntime", "fp32"), is_measured=False)), tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "labels.txt", "../up", "/etc/hosts"])
def test_a_packager_whose_files_lie_on_one_another_or_outside_is_refused(
    name: str, gpu_contents: BundleContents, tmp_path: Path
) -> None:
    packager = replace(load_packager("server-gpu"), more_files=lambda contents, manifest: {name: b""})
    with pytest.raises(PackagerError, match="give it another path in the packager"):
        write_bundle(packager, gpu_contents, tmp_path)


@pytest.mark.parametrize("name", PACKAGERS)
def test_packagers_are_named_as_they_are_registered(name: str) -> None:
    packager = load_packager(name)
    assert packager.name == name
    assert packager.summary


def test_the_model_card_says_how_its_numbers_were_obtained(server: Bundle) -> None:
    card = (server.folder / "MODEL_CARD.md").read_text()
    for fact in ("98.61 %", "96.79 % to 99.41 %", "360 test images", "0.420", "0.410", "0.500", "0.470"):
        assert fact in card
    assert "97.22 % (94.96 to 98.48) of 360 |" in card
    for fact in ("Imaginary 3000", "1.23.0", "| threads | 2 |", "1234 inferences", "1.2 %", "quick: median", "CC0"):
        assert fact in card


def test_the_model_card_tells_of_every_precision_that_was_tried(android: Bundle) -> None:
    rows = re.findall(r"^\| litert \| .*$", (android.folder / "MODEL_CARD.md").read_text(), re.MULTILINE)
    assert [[cell.strip() for cell in row.split("|")[2:4]] for row in rows] == [["fp32", "0.420"], ["int8", "0.250"]]
    assert "| yes | litert-fp32 is fit |" in rows[0]
    assert "97.50 % (92.91 to 99.15) of 120 | no | slower than fp32 |" in rows[1]


def test_a_bundle_that_nobody_measured_says_so(gpu: Bundle) -> None:
    assert "**Unmeasured**" in (gpu.folder / "MODEL_CARD.md").read_text()
    assert "never seen on a GPU" in (gpu.folder / "README.md").read_text()
