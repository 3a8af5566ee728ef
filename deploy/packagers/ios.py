"""iPhones: a Core ML package that takes images as they are, and a Swift sample. Nothing here runs or measures it."""

from __future__ import annotations

from deploy import golden
from deploy.packager import BundleContents, Files, Packager

_GOLDEN = "Tests/golden"


def _golden_images(contents: BundleContents) -> Files:
    """The golden inputs as images: a model that has its normalisation inside takes nothing else."""
    pixels = golden.pixels_of(contents.golden_images, mean=contents.mean, std=contents.std)
    return {f"{_GOLDEN}/image-{number}.png": golden.to_png(image) for number, image in enumerate(pixels, 1)}


PACKAGER = Packager(
    name="ios",
    summary="Core ML for iPhones and iPads, fp16, image in and label out; not measured, since it runs on Apple's only",
    runtimes=("coreml",),
    precisions=("fp16",),
    model=lambda variant, is_main: "Sources/MillisClassifier.mlpackage",
    labels="labels.txt",
    golden=_GOLDEN,
    templates={
        "Sources/Classifier.swift": "ios/Classifier.swift.j2",
        "Tests/GoldenTests.swift": "ios/GoldenTests.swift.j2",
        "README.md": "ios/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
    unmeasured=True,
    more_files=lambda contents, manifest: _golden_images(contents),
)
