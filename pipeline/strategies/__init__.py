"""Search strategies. Adding one takes a file here with a STRATEGY, a line in STRATEGIES, and its settings in OWN."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from pipeline.architecture import Architecture
from pipeline.search_task import OnSearchEpoch, SearchError, SearchResult, SearchTask

if TYPE_CHECKING:
    from torch import nn


class Strategy(Protocol):
    """A way to search; those by gradient are `pipeline.search_loop.GradientSearch`."""

    def planned_epochs(self, task: SearchTask) -> int:
        """How many epochs `search` tells of in all."""

    def cost(self, task: SearchTask) -> float:
        """What a search costs, in passes of one network over the weight split."""

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
        "binary gates over a supernet, one path at a time: as fast and small as one network (arXiv:1812.00332)",
    ),
    "darts": StrategyEntry(
        "pipeline.strategies.darts",
        "all candidates at once, weighted by a softmax; weights and choices in turn (arXiv:1806.09055)",
    ),
    "pc-darts": StrategyEntry(
        "pipeline.strategies.pc_darts",
        "DARTS of cells on a part of the channels, with shares of edges: faster and smaller (arXiv:1907.05737)",
    ),
    "fbnet": StrategyEntry(
        "pipeline.strategies.fbnet",
        "all candidates at once, weighted by draws of a Gumbel softmax that cools down (arXiv:1812.03443)",
    ),
    "snas": StrategyEntry(
        "pipeline.strategies.snas",
        "all candidates at once, weighted by draws of a concrete distribution; one loss for all (arXiv:1812.09926)",
    ),
    "random": StrategyEntry(
        "pipeline.strategies.random_search",
        "the baseline: random networks at the budget, trained at equal cost, best on the architecture split",
    ),
    "given": StrategyEntry(
        "pipeline.strategies.given",
        "no search: the only network of a space that leaves nothing to decide, such as network?of=mobilenet-v2",
    ),
}


def load_strategy(name: str) -> Strategy:
    """The strategy of that name; raises SearchError listing what there is."""
    if name not in STRATEGIES:
        raise SearchError(f"no strategy {name!r}; there are: {', '.join(STRATEGIES)}")
    strategy: Strategy = import_module(STRATEGIES[name].module).STRATEGY
    return strategy
