"""What a search by gradient learns: the weights of a supernet and what its choices are decided by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.alpha import Alpha
from pipeline.cell_paths import CellPaths
from pipeline.cell_supernet import CellSupernet
from pipeline.data.seeding import generator
from pipeline.latency_loss import LatencyLoss
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchError, SearchTask
from pipeline.space import Chain
from pipeline.supernet import Supernet
from pipeline.training import GRADIENT_NORM, parameter_groups

SplitName = Literal["weights", "architecture"]
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Curve = Literal["linear", "geometric"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a search stands when it takes a step."""

    seed: int
    step: int  # steps of the search, this one included
    steps: int  # of the whole search
    architecture_step: int  # steps of alpha, this one's included
    warming_up: bool
    progress: float  # whole epochs done, of all
    settings: SearchSettings
    latency: LatencyLoss
    kept_step: int  # of the last checkpoint, 0 where there is none

    def temperature(self, curve: Curve) -> float:
        """Of samples, from epoch to epoch."""
        return temperature_at(self.progress, self.settings, curve)

    def with_latency(self, cross_entropy: Tensor, probability: Tensor) -> Tensor:
        """The loss that alpha descends; the multipliers take a step. probability: [L, K]."""
        return self.latency.combined(cross_entropy, probability, self.architecture_step)

    def require_finite(self, name: str, value: Tensor) -> None:
        """Raise SearchError before a step takes what is no number into weights or alpha."""
        if value.isfinite().all():
            return
        kept = f"; the checkpoint of step {self.kept_step} is kept" if self.kept_step else ""
        raise SearchError(
            f"search: the {name} is not finite at step {self.step} of {self.steps}: try a lower learning_rate than "
            f"{self.settings.learning_rate:g}, or a lower alpha_learning_rate than "
            f"{self.settings.alpha_learning_rate:g}{kept}"
        )


def temperature_at(progress: float, settings: SearchSettings, curve: Curve) -> float:
    """On the way from `temperature` to `temperature_end`; progress in 0..1."""
    first, last = settings.temperature, settings.temperature_end
    if curve == "linear":
        return first + (last - first) * progress
    return float(first * (last / first) ** progress)


@dataclass(slots=True, kw_only=True)
class Learned:
    """Weights and choices with the optimisers that step them: all that changes, and what a checkpoint keeps."""

    supernet: nn.Module
    choices: Mapping[str, Tensor]  # alpha, and whatever else the choices are decided by
    weight_optimizer: torch.optim.SGD
    choice_optimizer: Optimizer

    def step_weights(self, loss: Tensor, moment: Moment) -> None:
        """Descend by one step, the gradient shortened to GRADIENT_NORM. Raises SearchError before a step into NaN."""
        moment.require_finite("loss", loss)
        self.weight_optimizer.zero_grad(set_to_none=True)  # None: what took no part must not decay
        torch.autograd.backward(loss)
        self.apply_weight_gradients(moment)

    def apply_weight_gradients(self, moment: Moment) -> None:
        norm = nn.utils.clip_grad_norm_(self.supernet.parameters(), GRADIENT_NORM, foreach=True)
        moment.require_finite("gradient of the weights", norm)
        self.weight_optimizer.step()

    def step_choices(self, gradients: Sequence[Tensor], moment: Moment) -> None:
        """Take a step along gradients, one for each of `choices`. Raises SearchError before a step into NaN."""
        for (name, parameter), gradient in zip(self.choices.items(), gradients, strict=True):
            moment.require_finite(f"gradient of {name}", gradient)
            parameter.grad = gradient
        self.choice_optimizer.step()

    def state(self) -> dict[str, Any]:
        return {
            "supernet": self.supernet.state_dict(),
            "choices": dict(self.choices),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "choice_optimizer": self.choice_optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.supernet.load_state_dict(state["supernet"])
        with torch.no_grad():
            for name, parameter in self.choices.items():
                parameter.copy_(state["choices"][name])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.choice_optimizer.load_state_dict(state["choice_optimizer"])


def supernet_of(task: SearchTask) -> Supernet:
    """The supernet of a chain, its weights drawn from the seed; raises SpaceError where the space is no chain."""
    return _drawn(task, lambda: Supernet(task.space))


def path_supernet_of(task: SearchTask) -> Supernet | CellPaths:
    """The supernet of a chain or of cells, to compute one path at a time; raises SpaceError where there is none."""
    return supernet_of(task) if isinstance(task.space, Chain) else _drawn(task, lambda: CellPaths(task.space))


def mixed_supernet_of(task: SearchTask) -> Supernet | CellSupernet:
    """The supernet of a chain or of DARTS's cells, to compute all candidates; raises SpaceError where there is none."""
    return supernet_of(task) if isinstance(task.space, Chain) else cell_supernet_of(task, partial=1)


def cell_supernet_of(task: SearchTask, *, partial: int) -> CellSupernet:
    """The supernet of cells of which one in `partial` channels is mixed; raises SpaceError where there is none."""
    return _drawn(task, lambda: CellSupernet.from_space(task.space, partial))


def _drawn(task: SearchTask, make: Callable[[], AnyModule]) -> AnyModule:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        network = make()
    # Convolutions on the CPU are up to twice as fast in this layout.
    return network.to(memory_format=torch.channels_last)


def alpha_of(task: SearchTask) -> Alpha:
    return Alpha.initial(task.space, generator(task.seed, "alpha"))


def weight_optimizer_of(supernet: nn.Module, settings: SearchSettings, *, nesterov: bool) -> torch.optim.SGD:
    groups = parameter_groups(supernet, settings.weight_decay)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=nesterov, foreach=True)


def choice_optimizer_of(
    choices: Sequence[Tensor], settings: SearchSettings, betas: tuple[float, float]
) -> torch.optim.Adam:
    return torch.optim.Adam(
        choices, lr=settings.alpha_learning_rate, betas=betas, weight_decay=settings.alpha_weight_decay
    )
