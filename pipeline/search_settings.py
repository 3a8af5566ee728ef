"""How a search is run: plain data, so that recipes can be read without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, ClassVar, Literal

from pipeline.autocast import Compute

LatencyForm = Literal["adaptive", "mul#log", "add#linear", "power"]

_OWN: Any = None  # what is left out is the strategy's own

# What each strategy sets where a search leaves it out: of `proxyless` and `random` what suits minutes on a CPU, of the
# others what their papers and codes searched with (arXiv:1806.09055, 1907.05737, 1812.09926, 1812.03443).
_PROXYLESS: dict[str, Any] = {
    "epochs": 40,
    "warmup_epochs": 10,
    "batch_size": 64,
    "learning_rate": 0.05,
    "learning_rate_end": 0.0,
    "weight_decay": 4e-5,
    "label_smoothing": 0.1,
    "alpha_learning_rate": 0.02,
    "alpha_weight_decay": 0.0,
    "inner_steps": 2,
    "latency_loss": "adaptive",
    "temperature": 1.0,
    "temperature_end": 1.0,
}
_DARTS = _PROXYLESS | {
    "epochs": 50,
    "warmup_epochs": 0,
    "learning_rate": 0.025,
    "learning_rate_end": 0.001,
    "weight_decay": 3e-4,
    "label_smoothing": 0.0,
    "alpha_learning_rate": 3e-4,
    "alpha_weight_decay": 1e-3,
    "inner_steps": 1,
}
OWN: dict[str, dict[str, Any]] = {
    "proxyless": _PROXYLESS,
    "random": _PROXYLESS,
    "darts": _DARTS,
    "pc-darts": _DARTS
    | {
        "warmup_epochs": 15,
        "batch_size": 256,
        "learning_rate": 0.1,
        "learning_rate_end": 0.0,
        "alpha_learning_rate": 6e-4,
    },
    "snas": _DARTS | {"epochs": 150, "temperature": 1.0, "temperature_end": 0.03},
    "fbnet": _DARTS
    | {
        "epochs": 90,
        "warmup_epochs": 10,
        "learning_rate": 0.1,
        "learning_rate_end": 0.0,
        "weight_decay": 1e-4,
        "alpha_learning_rate": 0.01,
        "alpha_weight_decay": 5e-4,
        "latency_loss": "power",
        "temperature": 5.0,
        "temperature_end": 5.0 * 0.956**90,
    },
}
# Why a strategy has no `inner_steps`.
_NO_INNER_STEPS = {"fbnet": "takes turns pass by pass", "snas": "steps weights and choices together"}
# The exponent of a latency loss, where a search leaves it out.
_POWERS: dict[LatencyForm, float] = {"mul#log": 0.3, "power": 0.6}

_ABOVE_ZERO = (
    "epochs",
    "batch_size",
    "inner_steps",
    "networks",
    "seeds",
    "judge_epochs",
    "channel_part",
    "learning_rate",
    "alpha_learning_rate",
    "latency_scale",
    "latency_power",
    "latency_weight",
    "temperature",
    "temperature_end",
)
_NOT_BELOW_ZERO = ("learning_rate_end", "weight_decay", "alpha_weight_decay")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How a search is run. An epoch is a pass over the weight split; alpha is what the architecture is decided by.

    Without a number of their own, settings are the strategy's; a warm-up keeps its share of the epochs.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    strategy: str = "proxyless"
    epochs: int = _OWN
    warmup_epochs: int = _OWN  # of them, with weights alone learning
    batch_size: int = _OWN
    learning_rate: float = _OWN
    learning_rate_end: float = _OWN  # what the cosine comes down to
    weight_decay: float = _OWN
    label_smoothing: float = _OWN
    alpha_learning_rate: float = _OWN
    alpha_weight_decay: float = _OWN
    inner_steps: int = _OWN  # weight steps for each step of alpha, where they take turns step by step
    latency_loss: LatencyForm = _OWN
    latency_unit: Literal["us", "ms"] = "us"  # whose logarithm mul#log and power take
    latency_scale: float = 0.2  # a of mul#log and power
    latency_power: float = _OWN  # b of mul#log and power
    latency_weight: float = 0.1  # lambda of add#linear
    temperature: float = _OWN  # of fbnet's and snas's samples: at first
    temperature_end: float = _OWN  # and at last
    paths: Literal["two", "full"] = "two"  # of proxyless, that take part in a step of alpha
    order: Literal["first", "second"] = "first"  # of darts's and pc-darts's gradient of alpha
    channel_part: int = 4  # of pc-darts: one channel of so many goes through the operations
    networks: int = 4  # that random search trains
    compute: Compute = "fp32"  # of proxyless: what steps compute in
    seeds: int = 1  # searches, of which the best on the architecture split is kept
    judge_epochs: int = 5  # that the network of each seed is trained for, to be judged

    def __post_init__(self) -> None:
        own = OWN.get(self.strategy, _PROXYLESS)
        for name, value in own.items():
            if name != "warmup_epochs":
                self._fill(name, value)
        self._fill("latency_power", _POWERS.get(self.latency_loss, 1.0))
        self._check_numbers()
        self._check_strategy()
        self._fill("warmup_epochs", min(self.epochs - 1, self.epochs * own["warmup_epochs"] // own["epochs"]))
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs} must lie in 0..{self.epochs - 1}, below epochs")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing} must lie in 0..1, 1 excluded")

    def _check_numbers(self) -> None:
        for name in _ABOVE_ZERO:
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number above 0")
        for name in _NOT_BELOW_ZERO:
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number not below 0")

    def _check_strategy(self) -> None:
        if self.order == "second" and self.strategy not in {"darts", "pc-darts"}:
            raise ValueError(f"order=second is for darts and pc-darts, not for {self.strategy}")
        if self.compute == "bf16" and self.strategy != "proxyless":
            raise ValueError(f"compute=bf16 is for proxyless, not for {self.strategy}: mixtures take longer in it")
        if self.inner_steps > 1 and self.strategy in _NO_INNER_STEPS:
            raise ValueError(
                f"inner_steps={self.inner_steps} is not for {self.strategy}, which {_NO_INNER_STEPS[self.strategy]}"
            )

    def _fill(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)  # the only way into a frozen dataclass


def read_settings(words: Sequence[str], **given: object) -> SearchSettings:
    """Settings of texts such as `inner_steps=1`, and of values given; raises ValueError naming what is wrong."""
    from pydantic import TypeAdapter, ValidationError

    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"setting {word!r}: write NAME=VALUE, as in inner_steps=1")
        if name in given:
            raise ValueError(f"setting {name} is given twice")
        given[name] = value
    known = [field.name for field in fields(SearchSettings)]
    for name in given:
        if name not in known:
            raise ValueError(f"no setting {name!r}; there are {', '.join(known)}")
    try:
        return TypeAdapter(SearchSettings).validate_python(given)
    except ValidationError as error:
        problem = error.errors()[0]
        field = "".join(f"{part}: " for part in problem["loc"])
        raise ValueError(f"{field}{problem['msg'].removeprefix('Value error, ')}") from None
