"""SNAS (arXiv:1812.09926): mixtures drawn from a concrete distribution whose temperature falls, and a single level.

Weights and alpha step together, down one loss of the same images; the architecture split serves to judge seeds alone.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.alpha import Alpha
from pipeline.data.seeding import generator
from pipeline.learned import Moment, SplitName, mixed_supernet_of
from pipeline.mixture import Mixture, passes, relaxed_sample
from pipeline.search_loop import GradientSearch
from pipeline.search_task import SearchTask


def begin(task: SearchTask) -> Mixture:
    return Mixture.begin(task, mixed_supernet_of(task), _concrete, betas=(0.5, 0.999), alternation="together")


def _concrete(alpha: Alpha, moment: Moment, split: SplitName) -> Tensor:
    random = generator(moment.seed, "concrete", split, moment.step)
    return relaxed_sample(alpha, moment.temperature("linear"), random)


def _passes(task: SearchTask) -> tuple[float, float]:
    """No step is alpha's alone."""
    return passes(task)[0], 0.0


STRATEGY = GradientSearch("snas", begin, _passes)
