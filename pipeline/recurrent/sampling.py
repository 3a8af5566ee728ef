"""Text that a trained model writes."""

from __future__ import annotations

import torch

from pipeline.data.seeding import generator
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.settings import Dropout
from pipeline.recurrent.text import Vocabulary
from profilers.errors import MillisError


@torch.inference_mode()
def sample(
    model: LanguageModel, vocabulary: Vocabulary, prompt: str, length: int, *, temperature: float, seed: int
) -> str:
    """`length` tokens after a prompt, drawn one by one; UNKNOWN never is. Raises MillisError for an empty prompt."""
    tokens = vocabulary.numbers(prompt)
    if not tokens:
        raise MillisError("the prompt holds no token; give some text to go on from")
    if not temperature > 0:
        raise MillisError(f"temperature {temperature} must be above 0")
    random = generator(seed, "sample")
    model.eval()
    read, state = model(torch.tensor(tokens)[:, None], model.recurrent.initial(1), Dropout(), None)
    for _ in range(length):
        weights = (read.logits[-1, 0, 1:] / temperature).softmax(-1)
        tokens.append(1 + int(torch.multinomial(weights, 1, generator=random)))
        read, state = model(torch.tensor([[tokens[-1]]]), state, Dropout(), None)
    return vocabulary.text(tokens)
