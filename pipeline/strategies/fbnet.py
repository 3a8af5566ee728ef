"""FBNet (arXiv:1812.03443): mixtures drawn from a Gumbel softmax whose temperature falls, one draw for a whole batch.

Two things differ from its code: weights and alpha alternate from step to step and not from epoch to epoch, and the loss
is the paper's power of latency (`latency_loss: power`), in a unit in which its logarithm is above zero.
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
    return Mixture.begin(task, mixed_supernet_of(task), _gumbel_softmax, betas=(0.9, 0.999))


def _gumbel_softmax(alpha: Alpha, moment: Moment, split: SplitName) -> Tensor:
    random = generator(moment.seed, "gumbel", split, moment.step)
    return relaxed_sample(alpha, moment.temperature("geometric"), random)


STRATEGY = GradientSearch("fbnet", begin, passes)
