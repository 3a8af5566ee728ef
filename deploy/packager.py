"""What the bundles of one kind look like, and what is needed to make one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.choice import GroupOf, ungrouped
from deploy.errors import BundleError
from deploy.manifest import Accuracy, Calibration, Data, Manifest, Network, Refused
from deploy.variant import Variant, Verdict
from profilers.files import is_file_name
from profilers.precision import Precision
from profilers.target import Target

if TYPE_CHECKING:
    import numpy as np

_GOLDEN_IMAGES = range(4, 9)

Files = Mapping[str, bytes]  # path in the bundle, with forward slashes -> contents


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleContents:
    """Everything a packager needs. Raises BundleError for what no bundle can be made of."""

    name: str
    verdicts: tuple[Verdict, ...]  # of every variant that was built for this bundle, the one to use first
    max_accuracy_drop: float  # points
    labels: tuple[str, ...]
    mean: float  # of (pixel/255 - mean) / std, for all channels
    std: float
    golden_images: np.ndarray  # 4 to 8 real images, normalised, fp32 [N, C, H, W]
    golden_logits: np.ndarray  # what PyTorch gives for them, fp32 [N, classes]
    network: Network
    accuracy: Accuracy  # of the trained network in PyTorch, on the test images
    versions: dict[str, str]  # tool -> version
    data: Data | None = None
    refused: tuple[Refused, ...] = ()  # what this bundle would have chosen among, and could not be made
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        if not is_file_name(self.name):
            raise BundleError(f"bundle name {self.name!r}: write letters, digits, dots, dashes and underscores")
        if any(not label.strip() or not label.isprintable() for label in self.labels):
            raise BundleError(f"bundle {self.name}: every label must be one line of text that is not blank")
        if len(self.golden_images) not in _GOLDEN_IMAGES:
            raise BundleError(f"bundle {self.name}: {len(self.golden_images)} golden images; give 4 to 8")
        if not self.shipped:
            raise BundleError(f"bundle {self.name}: no file to ship; {'; '.join(self._reasons())}")

    @property
    def shipped(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.shipped)

    @property
    def variants(self) -> dict[str, Variant]:
        """Those that are shipped, by their names."""
        return {each.candidate.variant.name: each.candidate.variant for each in self.shipped}

    def _reasons(self) -> Iterator[str]:
        """Why there is nothing to ship."""
        for verdict in self.verdicts:
            yield f"{verdict.candidate.variant.name}: {verdict.reason}"
        for refused in self.refused:
            yield f"{refused.name} could not be made: {refused.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packager:
    """One kind of bundle. Paths are relative to the bundle, with forward slashes.

    Made of the files of `runtimes`, each in those of `precisions` that it has, chosen by what was measured on
    `devices`: one for all of them, and where `group_of` tells groups, the best for each group besides. `model` says
    where a shipped file goes: the main one, or (is_main False) one for other devices. `templates` maps files of the
    bundle to files under templates/; those that end in .j2 see the manifest as `m`, its `files` still empty, and the
    label of the example image as `example_label`. `finished` makes the bytes that are shipped from those that were
    compiled, metadata appended; they must run as they did before. `more_files` makes what no template does. `require`
    raises where something that it packs is not on this machine.
    """

    name: str
    summary: str  # a line for those who choose one
    runtimes: tuple[str, ...]  # the fastest makes the main file, the first where no latency tells
    precisions: tuple[Precision, ...]
    model: Callable[[Variant, bool], str]  # (variant, is_main) -> its path
    labels: str
    golden: str  # folder of golden inputs and outputs
    templates: Mapping[str, str]
    devices: tuple[str, ...] = ("local",)  # kinds of device that it is for, the likeliest first
    accelerators: tuple[str, ...] = ("cpu",)
    group_of: GroupOf = ungrouped
    alternatives: bool = False  # ships every precision that is fit, not only the best of each runtime
    single: bool = False  # ships the best of all, not of each runtime
    unmeasured: bool = False  # may be made where no device was there to measure on, and says so
    finished: Callable[[bytes, BundleContents], bytes] = lambda model, contents: model
    more_files: Callable[[BundleContents, Manifest], Files] = lambda contents, manifest: {}
    require: Callable[[], object] = lambda: None

    def suits(self, target: Target) -> bool:
        """Whether what is measured there says something for this bundle."""
        fits = target.runtime in self.runtimes and target.accelerator in self.accelerators
        return fits and target.kind in self.devices
