"""The `nn.Module`s behind the operations: what is profiled is what is searched is what is shipped."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from profilers.op_spec import OpSpec
from profilers.operations import Activation, Identity
from profilers.shape import Shape

if TYPE_CHECKING:
    from profilers.operations import MBConv

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hswish": nn.Hardswish,
}


def conv_bn_act(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1, act: Activation
) -> nn.Sequential:
    """Convolution, batch normalisation, activation: [N, C, H, W] -> [N, C', ceil(H/s), ceil(W/s)]."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(out_channels, eps=1e-3)]
    if act != "none":
        layers.append(ACTIVATIONS[act]())
    return nn.Sequential(*layers)


class SqueezeExcite(nn.Module):
    """Channel attention (arXiv:1709.01507) with a hard sigmoid, as in MobileNetV3: [N, C, H, W] -> the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.reduce(x.mean((2, 3), keepdim=True)).relu()
        return x * nn.functional.hardsigmoid(self.expand(scale))


class MBConvBlock(nn.Module):
    """The inverted bottleneck of `operations.MBConv`."""

    def __init__(self, op: MBConv, in_shape: Shape) -> None:
        super().__init__()
        channels = in_shape.channels
        wide = channels * op.expand
        layers: list[nn.Module] = []
        if op.expand > 1:
            layers.append(conv_bn_act(channels, wide, 1, act=op.act))
        layers.append(conv_bn_act(wide, wide, op.kernel, stride=op.stride, groups=wide, act=op.act))
        if op.se:
            layers.append(SqueezeExcite(wide, op.se))
        layers.append(conv_bn_act(wide, op.out, 1, act="none"))
        self.body = nn.Sequential(*layers)
        self.shortcut = op.has_shortcut(in_shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)  # type: ignore[no-any-return]


def global_pool(x: Tensor) -> Tensor:
    """The mean over the image: [N, C, H, W] -> [N, C, 1, 1]."""
    # A pool over the whole image, not a mean over two axes: converters keep it in the layout it is given.
    return nn.functional.avg_pool2d(x, x.shape[2:])


class PoolBlock(nn.Module):
    """Global average pooling: [N, C, H, W] -> [N, C, 1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return global_pool(x)


class ClassifierBlock(nn.Module):
    """Global average pooling and a linear layer: [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(global_pool(x).flatten(1))  # type: ignore[no-any-return]


class ZeroBlock(nn.Module):
    """Zeros of the strided input shape."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def build_chain(specs: tuple[OpSpec, ...]) -> nn.Sequential:
    """The network that applies `specs` one after another; an identity leaves no layer."""
    return nn.Sequential(*(spec.module() for spec in specs if not isinstance(spec.operation, Identity)))


def folded(module: nn.Module) -> nn.Module:
    """A copy for inference with every batch normalisation folded into the convolution before it."""
    copied = copy.deepcopy(module).eval()
    for parent in copied.modules():
        if isinstance(parent, nn.Sequential):
            _fold_sequence(parent)
    return copied


def _fold_sequence(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        conv, norm = layers[i], layers[i + 1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers[i] = fuse_conv_bn_eval(conv, norm)
            layers[i + 1] = nn.Identity()
