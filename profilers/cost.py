"""Closed-form cost of the layers that operations are made of.

Conventions, the field's own: `macs` are the multiply-accumulates of convolutions and linear layers; `params` are the
trainable scalars, batch normalisation's gamma and beta included; `elements_moved` is what the kernels read and write
once batch normalisation is folded and activations are fused into the layer before them.
"""

from __future__ import annotations

from dataclasses import dataclass

from profilers.shape import Shape


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation costs at batch 1, whatever device runs it."""

    macs: int = 0
    params: int = 0
    elements_moved: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs,
            self.params + other.params,
            self.elements_moved + other.elements_moved,
        )


def conv(in_shape: Shape, out_shape: Shape, area: int, groups: int = 1) -> Cost:
    """A convolution without bias; `area` is what its kernel covers, 9 for 3x3."""
    weights = area * in_shape.channels * out_shape.channels // groups
    return Cost(
        macs=weights * out_shape.height * out_shape.width,
        params=weights,
        elements_moved=in_shape.elements + weights + out_shape.elements,
    )


def conv_bn(in_shape: Shape, out_shape: Shape, kernel: int, groups: int = 1) -> Cost:
    """A convolution without bias, then batch normalisation (folded into a bias at inference)."""
    return conv(in_shape, out_shape, kernel * kernel, groups) + batch_norm(out_shape)


def batch_norm(shape: Shape) -> Cost:
    """Gamma and beta; folded, a bias of the convolution before it."""
    return Cost(params=2 * shape.channels, elements_moved=shape.channels)


def linear(in_features: int, out_features: int) -> Cost:
    """A fully connected layer with bias."""
    weights = in_features * out_features
    return Cost(
        macs=weights,
        params=weights + out_features,
        elements_moved=in_features + weights + out_features + out_features,
    )


def global_pool(shape: Shape) -> Cost:
    """The mean over height and width."""
    return Cost(elements_moved=shape.elements + shape.channels)


def squeeze_excite(shape: Shape, hidden: int) -> Cost:
    """Pool, two 1x1 convolutions with bias, and the product with the input."""
    product = Cost(elements_moved=2 * shape.elements + shape.channels)
    return global_pool(shape) + linear(shape.channels, hidden) + linear(hidden, shape.channels) + product


def pool(in_shape: Shape, out_shape: Shape) -> Cost:
    """A pool of small windows."""
    return Cost(elements_moved=in_shape.elements + out_shape.elements)


def residual_add(shape: Shape) -> Cost:
    """The sum of two activations of one shape."""
    return Cost(elements_moved=3 * shape.elements)
