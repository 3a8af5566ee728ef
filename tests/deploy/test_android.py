from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.ai_pack import TARGETING, Chip, group_of, targeting_config
from deploy.bundle import Bundle
from deploy.choice import choose
from deploy.manifest import Model
from deploy.packager import BundleContents
from deploy.packagers import pack
from deploy.variant import Candidate
from deploy.verify import verify
from profilers.target import Target
from tests.deploy.small_networks import (
    DIMENSITY,
    LABELS,
    SNAPDRAGON,
    Small,
    candidate,
    contents,
    local,
    rgb_pixels,
    small,
)
from tests.stand_ins.kotlin_compiler import ANDROID_API
from tests.stand_ins.mediapipe_python import classify

Require = Callable[[str], Path]
QUALCOMM = SNAPDRAGON | {"soc_manufacturer": "Qualcomm"}  # the same chip, as other phones tell it
NAMES = ("litert-fp32", "litert-fp16", "litert-int8")
ASSETS = "app/src/main/assets/millis"


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(1, tmp_path_factory.mktemp("grey"), *NAMES)


@pytest.fixture(scope="module")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(3, tmp_path_factory.mktemp("rgb"), "litert-fp32", "litert-int8")


def _pack(network: Small, folder: Path) -> Bundle:
    return pack("android", contents(network, *map(local, network.variants.values())), folder)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_bundle_verifies(channels: int, grey: Small, rgb: Small, tmp_path: Path) -> None:
    bundle = _pack(grey if channels == 1 else rgb, tmp_path)
    assert verify(bundle.folder).complete
    assert [model.path for model in bundle.manifest.models][:2] == [f"{ASSETS}/model.tflite", _other(bundle)]


def _other(bundle: Bundle) -> str:
    return f"models/{bundle.manifest.models[1].name}.tflite"


def test_equal_contents_give_equal_bytes(grey: Small, tmp_path: Path) -> None:
    first, second = (_pack(grey, tmp_path / name).archive.read_bytes() for name in ("one", "two"))
    assert first == second


def test_the_kotlin_sample_names_what_lies_in_the_assets(grey: Small, tmp_path: Path) -> None:
    bundle = _pack(grey, tmp_path)
    main, test = (bundle.folder / "app/src" / name for name in ("main", "androidTest"))
    code = "".join(path.read_text() for path in bundle.folder.rglob("*.kt"))
    named = re.findall(r'"(millis/[^"]+)"', code)
    assert len(named) == 4
    assert all((main / "assets" / name).exists() or (test / "assets" / name).exists() for name in named)


@pytest.mark.slow
def test_the_kotlin_samples_compile(
    grey: Small, rgb: Small, require: Require, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kotlinc = require("kotlin-compiler")
    monkeypatch.setenv("JAVA_OPTS", "-Xmx512M -XX:TieredStopAtLevel=1 -XX:+UseSerialGC")  # for one short run
    sources = []
    for name, network in (("grey", grey), ("rgb", rgb)):
        for path in _pack(network, tmp_path / name).folder.rglob("*.kt"):
            path.write_text(path.read_text().replace("package millis", f"package {name}"))
            sources.append(str(path))
    _run(kotlinc, "-Werror", "-d", str(tmp_path / "classes"), str(ANDROID_API), *sources)
    assert all((tmp_path / "classes" / name / "Classifier.class").exists() for name in ("grey", "rgb"))


def test_only_a_grey_network_needs_other_files_for_mediapipe(grey: Small, rgb: Small, tmp_path: Path) -> None:
    needed = {path.stem for path in (_pack(grey, tmp_path / "grey").folder / "mediapipe").iterdir()}
    assert needed == set(NAMES)
    assert not (_pack(rgb, tmp_path / "rgb").folder / "mediapipe").exists()


def test_the_readme_repeats_a_phones_measurement(grey: Small, tmp_path: Path) -> None:
    measured = candidate(grey.variants["litert-fp32"], ("adb:42:litert?threads=2", 0.5, SNAPDRAGON))
    readme = (pack("android", contents(grey, measured), tmp_path).folder / "README.md").read_text()
    assert "adb shell taskset c0 /data/local/tmp/benchmark_model --graph=/data/local/tmp/model.tflite --use_x" in readme


@pytest.mark.parametrize(("flags", "litert"), [("--use_cpu=true --num_threads=2", True), ("--use_xnnpack=true", False)])
def test_the_readme_names_the_tool_that_knows_the_flags(flags: str, litert: bool, grey: Small, tmp_path: Path) -> None:
    measured = candidate(grey.variants["litert-fp32"], ("adb:42:litert", 0.5, SNAPDRAGON | {"flags": flags}))
    readme = (pack("android", contents(grey, measured), tmp_path).folder / "README.md").read_text()
    assert f"/data/local/tmp/model.tflite {flags} --warmup" in readme
    assert ("tensorflow-nightly" in readme) is not litert
    assert ("\n    adb push benchmark_model /data/local/tmp/benchmark_model\n" in readme) is litert


def test_the_readme_says_where_no_phone_was_measured(grey: Small, tmp_path: Path) -> None:
    readme = (_pack(grey, tmp_path).folder / "README.md").read_text()
    assert "`local:litert`, which is no phone" in readme
    assert "adb shell /data/local/tmp/benchmark_model" in readme and "--num_threads=2" in readme


def _chosen(network: Small, *candidates: Candidate) -> BundleContents:
    """Contents with the choice that is made of candidates, on the phones where they were measured."""
    on = [Target.parse(each.target).place for candidate in candidates for each in candidate.measured]
    verdicts = choose(candidates, on=list(dict.fromkeys(on)), max_accuracy_drop=0.5, group_of=group_of)
    return replace(contents(network, *candidates), verdicts=verdicts)


def _packed(folder: Path) -> dict[str, bytes]:
    """The model that Play brings to each group."""
    return {path.name: (path / "model.tflite").read_bytes() for path in (folder / "aipack/src/main/assets").iterdir()}


def test_an_ai_pack_brings_each_chip_its_best_model_and_others_what_is_best_for_all(
    grey: Small, tmp_path: Path
) -> None:
    fp32, int8 = grey.variants["litert-fp32"], grey.variants["litert-int8"]
    given = _chosen(
        grey,
        candidate(fp32, ("adb:a:litert", 0.4, SNAPDRAGON), ("adb:b:litert", 0.5, DIMENSITY)),
        candidate(int8, ("adb:a:litert", 0.2, SNAPDRAGON), ("adb:b:litert", 0.6, DIMENSITY)),
    )
    folder = pack("android", given, tmp_path).folder
    main, other = (folder / ASSETS / "model.tflite").read_bytes(), (folder / "models/litert-int8.tflite").read_bytes()
    assert _packed(folder) == {
        "model#group_other": main,
        "model#group_soc_QTI_SM8750": other,
        "model#group_soc_Mediatek_MT6991": main,
    }
    assert "aipack/README.md" in (folder / "README.md").read_text()
    assert "`GoldenTest.kt`, which opens that file and knows" in (folder / "aipack/README.md").read_text()
    assert verify(folder).complete


def test_what_one_phone_does_not_run_still_goes_to_the_other_and_the_bundle_says_why(
    grey: Small, tmp_path: Path
) -> None:
    fp32, int8 = grey.variants["litert-fp32"], grey.variants["litert-int8"]
    given = _chosen(
        grey,
        candidate(fp32, ("adb:a:litert", 0.4, SNAPDRAGON), ("adb:b:litert", 0.5, DIMENSITY)),
        replace(candidate(int8, ("adb:a:litert", 0.2, SNAPDRAGON)), failed={"adb:b:litert": "no such op"}),
    )
    bundle = pack("android", given, tmp_path)
    assert {each.precision: list(each.groups) for each in bundle.manifest.models} == {
        "fp32": ["soc_Mediatek_MT6991"],
        "int8": ["soc_QTI_SM8750"],
    }
    why = "0.2 ms on adb:a:litert, the fastest (fp32: 0.4 ms)"
    for name in ("README.md", "MODEL_CARD.md", "aipack/README.md"):
        text = (bundle.folder / name).read_text()
        assert "soc_QTI_SM8750" in text and why in text, name
    assert "not for every device: does not run on adb:b:litert: no such op" in (bundle.folder / "README.md").read_text()


def test_phones_of_one_chip_share_a_group_that_the_slower_one_can_veto(grey: Small, tmp_path: Path) -> None:
    fp32, int8 = grey.variants["litert-fp32"], grey.variants["litert-int8"]
    phones = (("adb:a:litert", SNAPDRAGON), ("adb:b:litert", QUALCOMM), ("adb:c:litert", DIMENSITY))
    took = {fp32: (0.4, 0.4, 0.5), int8: (0.1, 0.5, 0.3)}
    given = _chosen(
        grey,
        *(
            candidate(each, *((name, one, facts) for (name, facts), one in zip(phones, ms, strict=True)))
            for each, ms in took.items()
        ),
    )
    models = pack("android", given, tmp_path).manifest.models
    assert [(each.precision, list(each.groups)) for each in models] == [
        ("fp32", ["soc_QTI_SM8750"]),
        ("int8", ["soc_Mediatek_MT6991"]),
    ]


@pytest.mark.parametrize(
    "second",
    [SNAPDRAGON, QUALCOMM, {}, {"soc_manufacturer": "not exposed", "soc": "X1"}],
)
def test_one_chip_needs_no_ai_pack(second: dict[str, str], grey: Small, tmp_path: Path) -> None:
    measured = candidate(grey.variants["litert-fp32"], ("adb:a:litert", 0.4, SNAPDRAGON), ("adb:b:litert", 0.5, second))
    folder = pack("android", _chosen(grey, measured), tmp_path).folder
    assert not (folder / "aipack").exists() and not (folder / TARGETING).exists()


def test_plays_groups_are_chips_by_every_name_that_phones_give_them() -> None:
    root = ET.fromstring(targeting_config([Chip("Qualcomm", "SM8750"), Chip("Mediatek", "MT6991")]))  # noqa: S314
    space = "{http://schemas.android.com/apk/config}"
    assert root.tag == f"{space}device-targeting-config"
    found = {group.get("name"): [chip.attrib for chip in group.iter(f"{space}system-on-chip")] for group in root}
    assert found == {
        "soc_Qualcomm_SM8750": [
            {"manufacturer": "QTI", "model": "SM8750"},
            {"manufacturer": "Qualcomm", "model": "SM8750"},
        ],
        "soc_Mediatek_MT6991": [{"manufacturer": "Mediatek", "model": "MT6991"}],
    }


@given(manufacturer=st.text(min_size=1), model=st.text(min_size=1))
def test_a_group_is_named_as_play_allows(manufacturer: str, model: str) -> None:
    assert re.fullmatch("[A-Za-z][A-Za-z0-9_]*", Chip(manufacturer, model).group)


@pytest.mark.parametrize("channels", [1, 3])
def test_mediapipe_takes_every_model_and_agrees_with_the_goldens(
    channels: int, grey: Small, rgb: Small, require: Require, tmp_path: Path
) -> None:
    network = grey if channels == 1 else rgb
    python, bundle = require("mediapipe"), _pack(network, tmp_path)
    models = bundle.manifest.models
    paths = [bundle.folder / (f"mediapipe/{each.name}.tflite" if channels == 1 else each.path) for each in models]
    for model, found in zip(models, classify(python, paths, rgb_pixels(network)), strict=True):
        scores = [[image[label] for label in LABELS] for _, image in found]
        assert abs(np.array(scores) - _golden(bundle, model)).max() <= model.golden.tolerance
        assert {name for name, _ in found} == {"probability"}


def test_mediapipe_refuses_a_grey_model(grey: Small, require: Require, tmp_path: Path) -> None:
    python, bundle = require("mediapipe"), _pack(grey, tmp_path)
    with pytest.raises(RuntimeError, match="Only RGB color space is supported"):
        classify(python, [bundle.folder / bundle.manifest.model.path], rgb_pixels(grey))


@pytest.mark.parametrize("channels", [1, 3])
def test_tflite_runtime_of_2023_agrees_with_the_goldens(
    channels: int, grey: Small, rgb: Small, require: Require, tmp_path: Path
) -> None:
    python, network = require("tflite-runtime"), grey if channels == 1 else rgb
    kept = {name: network.variants[name] for name in ("litert-fp32", "litert-int8")}
    bundle = _pack(replace(network, variants=kept), tmp_path)
    told = _run(python, str(bundle.folder / "verify.py"))
    assert [line.split()[0] for line in told.splitlines()] == ["ok", "ok", "ok"]


def _golden(bundle: Bundle, model: Model) -> np.ndarray:
    outputs = model.golden.outputs
    return np.fromfile(bundle.folder / outputs.path, "<f4").reshape(outputs.shape)


def _run(python: Path, *words: str) -> str:
    done = subprocess.run([str(python), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
