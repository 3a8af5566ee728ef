"""Search strategies. Adding one takes a file here with a function `search` and a line in STRATEGIES."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from pipeline.architecture import Architecture
from pipeline.search_task import OnSearchEpoch, SearchError, SearchResult, SearchSettings, SearchTask

if TYPE_CHECKING:
    from torch import nn


class Strategy(Protocol):
    """A module that searches."""

    def planned_epochs(self, settings: SearchSettings) -> int:
        """How many epochs `search` tells of in all."""

    def search(self, task: SearchTask, on_epoch: OnSearchEpoch) -> SearchResult:
        """Search, going on from the checkpoint in `task.folder` where there is one."""

    def searched_weights(self, task: SearchTask, architecture: Architecture) -> nn.Module:
        """The network of an architecture with the weights that the finished search left it."""


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    module: str
    description: str


STRATEGIES = {
    "proxyless": StrategyEntry(
        "pipeline.strategies.proxyless",
        "binary gates over a supernet, expected latency driven to the budget (arXiv:1812.00332)",
    ),
    "random": StrategyEntry(
        "pipeline.strategies.random_search",
        "the baseline: random networks at the budget, trained at equal cost, best on the architecture split",
    ),
}


def load_strategy(name: str) -> Strategy:
    """The strategy of that name; raises SearchError listing what there is."""
    if name not in STRATEGIES:
        raise SearchError(f"no strategy {name!r}; there are: {', '.join(STRATEGIES)}")
    return import_module(STRATEGIES[name].module)
