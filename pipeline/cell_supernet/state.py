"""All candidates of all edges that leave one state of a cell, computed together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pipeline.cell_supernet.depthwise import Fan
from pipeline.cell_supernet.norms import norm, of_product, standardised
from pipeline.cell_supernet.pools import Pools
from pipeline.cell_supernet.products import Between, Moments, ProductSum, pixel_count

# Where the labels of DARTS's space stand; the first of them, none, adds nothing.
POOLS, SKIP, POOLS_AND_SKIP, CONVOLUTIONS = slice(1, 3), 3, slice(1, 4), slice(4, 8)
KERNELS = (3, 5)  # of separable as of dilated convolutions

Mixed = tuple[Tensor, Tensor]  # the weight of a product, and an offset [edges, C] beside it


class State(nn.Module):
    """One state and the edges that leave it for later nodes; edge e is group e of all weights.

    Convolutions of both KERNELS are one, the smaller kernel with a margin of zeros: a call costs more than the
    zeros do. Their channels stand edge by edge, kernel by kernel. A separable convolution is twice a depthwise and a
    pointwise one: `between` are the pointwise ones followed by another convolution, `last` those that give what is
    mixed, first of separable convolutions, then of dilated ones.
    """

    def __init__(self, channels: int, edges: int, stride: int) -> None:
        super().__init__()
        self.channels, self.edges, self.stride = channels, edges, stride
        self.separable, self.second, self.dilated = (_depthwise(edges, channels) for _ in range(3))
        self.between = _uniform(edges * 2, channels, channels, inputs=channels)
        self.between_norm = norm(2 * edges * channels)
        self.last = _uniform(2 * edges * 2, channels, channels, inputs=channels)
        self.last_norm = norm(4 * edges * channels)
        self.pool_norms = nn.ModuleList(norm(channels) for _ in range(2))  # alike for all edges
        if stride == 2:
            self.halves = _uniform(2 * edges, channels // 2, channels, inputs=channels)
            self.halves_norm = norm(edges * channels)

    def forward(self, x: Tensor, mix: Tensor, carry: Tensor | None) -> tuple[Tensor, Tensor]:
        """Carry [N, edges * C, H', W'] plus all mixtures of x [N, C, H, W], but for an offset; mix [edges, labels].

        The offset [edges * C] is to be added to every pixel.
        """
        relu = x.relu()
        even = relu if self.stride == 1 else even_pixels(relu)
        convolved = [Moments.apply(each, 2 * self.edges) for each in self._convolved(relu, even)]
        (separable, dilated), offset = self._mix_convolutions(convolved, mix)
        terms = [convolved[0][0], separable, convolved[1][0], dilated]
        pools = Pools.apply(x, self.stride, self.pool_norms)
        if self.stride == 1:
            shared, weights = [*pools, x], mix[:, POOLS_AND_SKIP]
        else:
            shared, weights = [*pools], mix[:, POOLS]
            halves, weight, further = self._mix_halves(even, odd_pixels(relu), mix)
            terms += [halves, weight]
            offset = offset + further
        terms += [torch.cat(shared, dim=1), self._diagonal(weights)]
        return ProductSum.apply(carry, *terms), offset.flatten()

    def _convolved(self, relu: Tensor, even: Tensor) -> tuple[Tensor, Tensor]:
        """What the last pointwise convolutions read: [N, edges * 2 * C, H', W'], of separable and dilated ones."""
        separable, second, dilated = (
            _together(kernels, self.edges) for kernels in (self.separable, self.second, self.dilated)
        )
        if self.stride == 1:
            first, last = Fan.apply(relu, 1, (1, 2), separable, dilated)
        else:
            (first,) = Fan.apply(relu, 2, (1,), separable)
            # With stride and dilation 2 a kernel reads even pixels alone, and all of them.
            (last,) = Fan.apply(even, 1, (1,), dilated)
        first, mean, moments = Moments.apply(first, 2 * self.edges)
        scale, offset = standardised(self.between_norm, *of_product(self.between, mean, moments), pixel_count(first))
        return Between.apply(first, self.between * scale.unsqueeze(-1), offset, second), last

    def _mix_convolutions(self, convolved: list[tuple[Tensor, Tensor, Tensor]], mix: Tensor) -> Mixed:
        """Weights [2, edges, C, 2 * C]."""
        means, seconds = (torch.cat([moments[i] for moments in convolved]) for i in (1, 2))
        each = of_product(self.last, means, seconds)
        scale, offset = standardised(self.last_norm, *each, pixel_count(convolved[0][0]))
        shares = torch.unflatten(mix[:, CONVOLUTIONS], 1, (2, 2)).transpose(0, 1)  # [2, edges, 2], as the weights
        weight = self.last * (shares.reshape(-1, 1) * scale).unsqueeze(-1)
        sizes = 2, self.edges, 2
        return (
            torch.unflatten(weight, 0, sizes).transpose(2, 3).flatten(3),
            (shares.unsqueeze(-1) * torch.unflatten(offset, 0, sizes)).sum((0, 2)),
        )

    def _diagonal(self, weights: Tensor) -> Tensor:
        """Weights [edges, sources] of images that edges add channel by channel -> [1, edges * C, sources * C]."""
        each = torch.diag_embed(weights.unsqueeze(-1).expand(-1, -1, self.channels))  # [edges, sources, C, C]
        return each.transpose(1, 2).reshape(1, self.edges * self.channels, -1)

    def _mix_halves(self, even: Tensor, odd: Tensor, mix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Even pixels give the first half of the channels of a skip that halves the image, odd ones the other."""
        channels, margin = self.channels, self.channels // 2
        images, means, seconds = Moments.apply(torch.cat([even, odd], dim=1), 2)
        halves = torch.unflatten(self.halves, 0, (2, -1))
        moments = of_product(halves, means.unsqueeze(1), seconds.unsqueeze(1))
        scale, offset = standardised(self.halves_norm, *moments, pixel_count(images))
        shares = mix[None, :, SKIP, None]
        first, second = halves * (shares * scale).unsqueeze(-1)
        placed = pad(first, (0, channels, 0, margin)) + pad(second, (channels, 0, margin, 0))
        return images, placed.reshape(1, -1, 2 * channels), torch.cat([*(shares * offset)], dim=-1)


def even_pixels(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]."""
    return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)


def odd_pixels(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]; beyond the edge of an odd size are zeros."""
    height, width = x.shape[2:]
    odd = pad(x, (0, width % 2, 0, height % 2))[:, :, 1::2, 1::2]
    return odd.contiguous(memory_format=torch.channels_last)


def _uniform(*shape: int, inputs: int) -> nn.Parameter:
    """As PyTorch draws the weights of a convolution."""
    return nn.Parameter(torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5))


def _depthwise(edges: int, channels: int) -> nn.ParameterList:
    return nn.ParameterList(_uniform(edges * channels, 1, kernel, kernel, inputs=kernel**2) for kernel in KERNELS)


def _together(kernels: nn.ParameterList, edges: int) -> Tensor:
    """Kernels of both sizes as one weight: [edges * 2 * C, 1, 5, 5]."""
    small, large = (torch.unflatten(kernel, 0, (edges, -1)) for kernel in kernels)
    return torch.stack([pad(small, (1, 1, 1, 1)), large], dim=1).flatten(0, 2)
