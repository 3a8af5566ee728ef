"""`digits`: scikit-learn's 1,797 handwritten digits of 8x8 pixels, installed with it."""

from __future__ import annotations

from pipeline.data.memory import InMemory
from pipeline.data.request import Request
from pipeline.data.splits import Augment, Official, Split

# The data set has no test split of its own, so one is fixed here.
TEST_FRACTION, TEST_SEED = 0.2, 0

LICENCE = "CC BY 4.0, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository (archive.ics.uci.edu/dataset/80)"


def load_digits(request: Request) -> Official:
    """A fifth to test on; a quarter of the rest, so a fifth of all, for the architecture."""
    import torch
    from sklearn import datasets

    found = datasets.load_digits()
    pixels = torch.from_numpy(found.images / 16 * 255).round().to(torch.uint8)  # counts of 0..16 to 0..255
    labels = torch.from_numpy(found.target).long()
    every = Split.whole(InMemory.of(pixels.unsqueeze(1), request.resolution), labels)
    training, test = every.divided(TEST_FRACTION, seed=TEST_SEED)
    shift = round((request.resolution or 8) / 8)
    return Official(
        classes=tuple(str(name) for name in found.target_names),
        training=training,
        test=test,
        architecture_fraction=TEST_FRACTION / (1 - TEST_FRACTION),
        augment=Augment(shift=shift),
        licence=LICENCE,
    )
