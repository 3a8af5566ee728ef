"""DARTS (arXiv:1806.09055): every candidate in every step, weighted by the softmax of alpha; weights and alpha in turn.

`inner_steps` n takes n steps of the weights for each of alpha; 1 is DARTS. `order` second takes the gradient of alpha
through a step of the weights.
"""

from __future__ import annotations

from pipeline.learned import mixed_supernet_of
from pipeline.mixture import Mixture, passes, softmax
from pipeline.search_loop import GradientSearch
from pipeline.search_task import SearchTask


def begin(task: SearchTask) -> Mixture:
    return Mixture.begin(task, mixed_supernet_of(task), softmax, betas=(0.5, 0.999))


STRATEGY = GradientSearch("darts", begin, passes)
