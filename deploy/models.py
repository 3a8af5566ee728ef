"""The models of a bundle: which variants it ships, the bytes of each, and the golden outputs that those bytes give."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deploy import golden
from deploy.errors import BundleError, PackagerError
from deploy.manifest import Golden, GoldenTensor, LeftOut, Model
from deploy.packager import BundleContents, Files, Packager
from deploy.sums import folder_files, folder_sha256, sha256
from deploy.variant import Variant, Verdict
from profilers.runtimes import RUNTIMES, load_runtime

if TYPE_CHECKING:
    import numpy as np

    from profilers.artifact import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A model, its files and its golden outputs, and the outputs as numbers [N, classes]."""

    model: Model
    files: Files
    outputs: np.ndarray


def ship(packager: Packager, contents: BundleContents) -> tuple[tuple[Shipped, ...], tuple[LeftOut, ...]]:
    """What the bundle ships, the one to use first, and what it leaves out.

    Raises PackagerError for variants that are none of the packager's, and for a main model that was not measured where
    it must be; BundleError for files that are not what they say.
    """
    _require_packable(packager, contents)
    chosen, left = parted(packager, contents.verdicts)
    shipped = tuple(_shipped(packager, contents, verdict, is_main=not i) for i, verdict in enumerate(chosen))
    return shipped, tuple(map(_left_out, left))


def parted(packager: Packager, verdicts: Sequence[Verdict]) -> tuple[list[Verdict], list[Verdict]]:
    """Those that the bundle ships and those that it does not: of all or of each runtime the best, or every fit one."""
    chosen: list[Verdict] = []
    left: list[Verdict] = []
    for verdict in verdicts:
        better = (
            [] if packager.alternatives else [one for one in chosen if packager.single or _same_runtime(one, verdict)]
        )
        if not verdict.shipped:
            left.append(verdict)
        elif better:
            reason = f"{verdict.reason}; {better[0].candidate.variant.name} is preferred"
            left.append(replace(verdict, shipped=False, reason=reason))
        else:
            chosen.append(verdict)
    return chosen, left


def _same_runtime(one: Verdict, other: Verdict) -> bool:
    return one.candidate.variant.runtime == other.candidate.variant.runtime


def golden_inputs(contents: BundleContents, models: Iterable[Model]) -> Files:
    """The golden images in each layout that a model takes."""
    layouts = {model.golden.inputs.path: model.golden.inputs.layout for model in models}
    return {path: golden.to_bytes(golden.to_layout(contents.golden_images, layout)) for path, layout in layouts.items()}


def _require_packable(packager: Packager, contents: BundleContents) -> None:
    for verdict in contents.verdicts:
        variant = verdict.candidate.variant
        if variant.runtime not in packager.runtimes or variant.precision not in packager.precisions:
            raise PackagerError(
                f"{variant.artifact.path.name}: packager {packager.name} ships {', '.join(packager.precisions)} of "
                f"{', '.join(packager.runtimes)}, not {variant.name}"
            )
    main = contents.shipped[0].candidate
    if not main.measured and not packager.unmeasured:
        raise PackagerError(
            f"packager {packager.name}: {main.variant.name} was not measured on any device that the bundle is for "
            f"({', '.join(packager.devices)}); add one to the targets"
        )


def _shipped(packager: Packager, contents: BundleContents, verdict: Verdict, *, is_main: bool) -> Shipped:
    variant = verdict.candidate.variant
    path = packager.model(variant, is_main)
    files = _model_files(packager, contents, variant, path)
    outputs, ran = _golden_outputs(contents, variant, files, path)
    record = _golden(packager, contents, variant, outputs, ran=ran)
    model = Model(
        path=path,
        runtime=variant.runtime,
        format=variant.artifact.format,
        precision=variant.precision,
        size_bytes=sum(map(len, files.values())),
        inputs=variant.artifact.inputs,
        outputs=variant.artifact.outputs,
        answers=variant.answers,
        golden=record,
        parity=variant.parity,
        validation=variant.validation,
        accuracy=variant.test,
        measured=verdict.candidate.measured,
        reason=verdict.reason,
        groups=dict(verdict.groups),
    )
    return Shipped(model=model, files={**files, record.outputs.path: golden.to_bytes(outputs)}, outputs=outputs)


def _model_files(packager: Packager, contents: BundleContents, variant: Variant, path: str) -> Files:
    """The file that is shipped, or every file of the folder that it is."""
    source = variant.artifact.path
    parts = folder_files(source) if source.is_dir() else {"": source.read_bytes()}
    found = folder_sha256(parts) if source.is_dir() else sha256(parts[""])
    if found != variant.artifact.sha256:
        raise BundleError(f"{source}: changed since it was exported; export it again")
    if source.is_dir():
        return {f"{path}/{name}": data for name, data in parts.items()}
    return {path: packager.finished(parts[""], contents)}


def _golden_outputs(contents: BundleContents, variant: Variant, files: Files, path: str) -> tuple[np.ndarray, bool]:
    """What the shipped file gives here, and True; what it should give, and False, where nothing here runs it."""
    if variant.runtime not in RUNTIMES:
        outputs, ran = golden.expected_answers(contents.golden_logits, variant.answers), False
    else:
        outputs, ran = _run(contents, variant, files[path], PurePosixPath(path).name), True
    expected = (len(contents.golden_images), len(contents.labels))
    if outputs.shape != expected:
        raise BundleError(
            f"{variant.artifact.path.name}: gives {list(outputs.shape)} for {expected[0]} images and {expected[1]} "
            "labels; give one label for each output"
        )
    return outputs, ran


def _run(contents: BundleContents, variant: Variant, data: bytes, name: str) -> np.ndarray:
    edges = (*variant.artifact.inputs, *variant.artifact.outputs)
    other = [tensor for tensor in edges if tensor.dtype != "float32"]
    if other:
        raise BundleError(
            f"{variant.artifact.path.name}: its {other[0].name} is {other[0].dtype}; a bundle's models take and give "
            "float32 in every precision"
        )
    with tempfile.TemporaryDirectory(prefix="millis-pack-") as scratch:
        file = Path(scratch) / name
        file.write_bytes(data)
        return load_runtime(variant.runtime).run(replace(variant.artifact, path=file), contents.golden_images)


def _golden(
    packager: Packager, contents: BundleContents, variant: Variant, outputs: np.ndarray, *, ran: bool
) -> Golden:
    layout: Layout = variant.artifact.inputs[0].layout
    return Golden(
        inputs=GoldenTensor(
            path=f"{packager.golden}/inputs-{layout.lower()}.bin",
            shape=golden.to_layout(contents.golden_images, layout).shape,
            layout=layout,
        ),
        outputs=GoldenTensor(path=f"{packager.golden}/outputs-{variant.name}.bin", shape=outputs.shape, layout="NC"),
        tolerance=golden.tolerance(variant.precision, outputs),
        ran=ran,
    )


def _left_out(verdict: Verdict) -> LeftOut:
    variant = verdict.candidate.variant
    return LeftOut(
        runtime=variant.runtime,
        precision=variant.precision,
        size_bytes=variant.artifact.size_bytes,
        validation=variant.validation,
        measured=verdict.candidate.measured,
        reason=verdict.reason,
    )
