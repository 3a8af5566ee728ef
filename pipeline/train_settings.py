"""How a network is trained: plain data, so that recipes can be read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.autocast import Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a network is trained: SGD with Nesterov momentum, a linear warm-up and a cosine down to zero."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 0.1  # at its peak
    momentum: float = 0.9
    weight_decay: float = 5e-4  # of convolution and linear weights; never of batch normalisation and biases
    label_smoothing: float = 0.1
    ema_decay: float = 0.99  # per step
    warmup_epochs: float = 1.0
    augment: bool = True
    compute: Compute = "fp32"  # what forward and backward passes compute in
    drop_path: float = 0.0  # of a path of a cell, at the end; it grows evenly over the epochs

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError("epochs and batch_size must be at least 1")
        if self.learning_rate <= 0 or self.weight_decay < 0 or self.warmup_epochs < 0:
            raise ValueError("learning_rate must be above 0, weight_decay and warmup_epochs not below it")
        for name in ("momentum", "label_smoothing", "ema_decay", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in 0..1, 1 excluded")
