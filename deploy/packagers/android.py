"""Android: a LiteRT file in the app's assets, a Kotlin classifier, and an instrumented test of the golden outputs."""

from __future__ import annotations

from deploy.bundle import Packager

_MAIN = "app/src/main"
_TEST = "app/src/androidTest"

PACKAGER = Packager(
    name="android",
    format="tflite",
    model=f"{_MAIN}/assets/millis/model.tflite",
    labels=f"{_MAIN}/assets/millis/labels.txt",
    # Among the test's assets, so that an app does not ship them.
    golden_inputs=f"{_TEST}/assets/millis/golden_inputs.bin",
    golden_outputs=f"{_TEST}/assets/millis/golden_outputs.bin",
    templates={
        f"{_MAIN}/kotlin/millis/Classifier.kt": "android/Classifier.kt.j2",
        f"{_TEST}/kotlin/millis/GoldenTest.kt": "android/GoldenTest.kt.j2",
        "README.md": "android/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
)
