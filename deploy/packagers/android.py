"""Android: LiteRT files with their metadata, a Kotlin classifier, and an instrumented test of the golden outputs."""

from __future__ import annotations

from deploy.ai_pack import ai_pack, group_of
from deploy.manifest import Manifest
from deploy.packager import BundleContents, Files, Packager
from deploy.rgb_models import rgb_models
from deploy.tflite_metadata import with_metadata
from deploy.variant import Variant

_MAIN = "app/src/main"
_TEST = "app/src/androidTest"


def _path(variant: Variant, is_main: bool) -> str:
    return f"{_MAIN}/assets/millis/model.tflite" if is_main else f"models/{variant.name}.tflite"


def _finished(model: bytes, contents: BundleContents) -> bytes:
    return with_metadata(model, name=contents.name, labels=contents.labels, mean=contents.mean, std=contents.std)


def _more_files(contents: BundleContents, manifest: Manifest) -> Files:
    """The same networks for programs that only know RGB, and one for each system on a chip that was measured."""
    return {
        **rgb_models(contents, manifest, "mediapipe", _finished),
        **ai_pack(contents, manifest, _finished),
    }


PACKAGER = Packager(
    name="android",
    summary="an Android app: LiteRT with TFLite metadata, for Kotlin, MediaPipe and Android Studio",
    runtimes=("litert",),
    precisions=("fp32", "fp16", "int8"),
    model=_path,
    labels=f"{_MAIN}/assets/millis/labels.txt",
    # Among the test's assets, so that an app does not ship them.
    golden=f"{_TEST}/assets/millis",
    templates={
        f"{_MAIN}/kotlin/millis/Classifier.kt": "android/Classifier.kt.j2",
        f"{_TEST}/kotlin/millis/GoldenTest.kt": "android/GoldenTest.kt.j2",
        "README.md": "android/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
    devices=("adb", "local"),
    group_of=group_of,
    alternatives=True,
    finished=_finished,
    more_files=_more_files,
)
