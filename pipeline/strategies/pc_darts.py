"""PC-DARTS (arXiv:1907.05737): DARTS of cells that mixes one in `channel_part` channels, and learns shares of edges.

Alpha and the shares stand still while the weights warm up. A network is derived by the product of both.
"""

from __future__ import annotations

from pipeline.data.seeding import generator
from pipeline.edges import Edges
from pipeline.learned import cell_supernet_of
from pipeline.mixture import Mixture, passes, softmax
from pipeline.search_loop import GradientSearch
from pipeline.search_task import SearchTask


def begin(task: SearchTask) -> Mixture:
    """Raises SearchError where the space is not one of cells."""
    supernet = cell_supernet_of(task, partial=task.settings.channel_part)
    edges = Edges.initial(task.space, generator(task.seed, "beta"))
    return Mixture.begin(task, supernet, softmax, betas=(0.5, 0.999), edges=edges)


def _passes(task: SearchTask) -> tuple[float, float]:
    """Of each operation about the part of its channels that it is computed on."""
    weights, choices = passes(task)
    return weights / task.settings.channel_part, choices / task.settings.channel_part


STRATEGY = GradientSearch("pc-darts", begin, _passes)
