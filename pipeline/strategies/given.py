"""No search at all: the only network of a space that leaves nothing to decide, such as a published one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.search_task import OnSearchEpoch, SearchError, SearchResult, SearchTask

if TYPE_CHECKING:
    from torch import nn

    from pipeline.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Given:
    """What there is to find is known."""

    def planned_epochs(self, task: SearchTask) -> int:
        return 0

    def cost(self, task: SearchTask) -> float:
        return 0.0

    def search(self, task: SearchTask, on_epoch: OnSearchEpoch) -> SearchResult:
        """Raises SearchError where the space leaves something to decide."""
        space = task.space
        if space.decisions:
            raise SearchError(
                f"strategy given: {space.name} leaves {len(space.decisions)} decisions open; search with another one, "
                "or name a network, as in network?of=mobilenet-v2"
            )
        return SearchResult(strategy="given", space=space.name, seed=task.seed, log_probability={})

    def searched_weights(self, task: SearchTask, architecture: Architecture) -> nn.Module:
        raise SearchError("strategy given: no search left weights; train from scratch")


STRATEGY = Given()
