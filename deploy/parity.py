"""Parity: an exported file against the network it was made from, on real images, in figures.

Two correct float32 programs for one network add the same terms in another order, so their outputs differ by rounding
that grows with the size of the numbers added. The difference is therefore judged relative to the largest output that
PyTorch gives: `max |exported - PyTorch| <= tolerance * max |PyTorch|`, both maxima over all images and classes. A fixed
bound in logits would pass any network with small logits and fail an untrained one with large ones.

Half precision and 8-bit numbers differ by what they are. There the difference is recorded and nothing is judged by it:
whether such a file is good enough is told by its accuracy.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.errors import ParityError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from profilers.artifact import Artifact
    from profilers.runtimes import Runtime

# float32 rounds by 6e-8; tens of layers of sums leave about 1e-6. A wrong layout or activation is off by 1e-2 or more.
FP32_TOLERANCE = 1e-4

_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far an exported file is from PyTorch on the same images; differences in what it gives."""

    images: int
    max_abs_difference: float
    max_abs_logit: float  # the largest output of PyTorch: a logit, or a probability where the file gives these
    tolerance: float | None  # of max_abs_difference, relative to max_abs_logit; None where it was not judged
    top1_agreement: float  # fraction of images given the same class, 0..1


def check_parity(
    network: nn.Module, artifact: Artifact, runtime: Runtime, images: Tensor, *, tolerance: float
) -> Parity:
    """Run `images` [N, C, H, W] through PyTorch in eval mode and through `runtime`; the network is left as it was.

    Raises ParityError with the figures where the difference exceeds `tolerance`, is not a number, or the shapes differ.
    """
    parity = _compared(network, artifact, runtime, images, tolerance)
    # Written so that a difference that is not a number fails too.
    if not parity.max_abs_difference <= tolerance * parity.max_abs_logit:
        raise ParityError(_complaint(parity, artifact.path.name, runtime.name, tolerance))
    return parity


def measure_parity(network: nn.Module, artifact: Artifact, runtime: Runtime, images: Tensor) -> Parity:
    """The same without a judgement; raises ParityError only where the shapes differ."""
    return _compared(network, artifact, runtime, images, None)


def reference_outputs(network: nn.Module, images: Tensor) -> np.ndarray:
    """What PyTorch in eval mode gives for `images` [N, C, H, W]; the network is left as it was."""
    import torch

    reference = copy.deepcopy(network).eval()
    with torch.inference_mode():
        outputs = torch.cat([reference(batch) for batch in torch.split(images, _BATCH)])
    return outputs.numpy(force=True)


def _compared(
    network: nn.Module, artifact: Artifact, runtime: Runtime, images: Tensor, tolerance: float | None
) -> Parity:
    if len(images) == 0:
        raise ParityError(f"{artifact.path.name}: parity needs at least one image")
    expected = reference_outputs(network, images)
    found = runtime.run(artifact, images.numpy(force=True))
    if found.shape != expected.shape:
        raise ParityError(
            f"{artifact.path.name}: {runtime.name} gives {_shape(found)} where PyTorch gives {_shape(expected)}; "
            "export the network again"
        )
    return Parity(
        images=len(images),
        max_abs_difference=float(abs(found - expected).max()),
        max_abs_logit=float(abs(expected).max()),
        tolerance=tolerance,
        top1_agreement=float((found.argmax(1) == expected.argmax(1)).mean()),
    )


def _complaint(parity: Parity, file: str, runtime: str, tolerance: float) -> str:
    return (
        f"{file}: {runtime} differs from PyTorch by {parity.max_abs_difference:.3g} on outputs up to "
        f"{parity.max_abs_logit:.3g}, more than the {tolerance * parity.max_abs_logit:.3g} allowed "
        f"({tolerance:.0e} relative); same class on {parity.top1_agreement:.2%} of {parity.images} images; "
        "the exported file is wrong: export again, or raise the tolerance knowingly"
    )


def _shape(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
