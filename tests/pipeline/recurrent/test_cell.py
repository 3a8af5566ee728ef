"""The cells against the equations of arXiv:1806.09055, section 3.2, written out step by step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pipeline.recurrent.cell import DartsCell, LstmCell
from pipeline.recurrent.edges import LABELS, edge, edge_count
from pipeline.recurrent.genotype import PUBLISHED, Genotype
from pipeline.recurrent.highway import Cell
from pipeline.recurrent.language_model import LanguageModel, evaluate, regularised
from pipeline.recurrent.search_cell import SearchCell
from pipeline.recurrent.settings import OF_TRAINING, Dropout
from pipeline.recurrent.step import StepModel
from profilers.recurrent_blocks import HighwayBlock

SIZE, STEPS, BATCH = 6, 7, 4
ANSWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def seeded(make: object, *arguments: object) -> nn.Module:
    """With weights large enough to matter."""
    torch.manual_seed(0)
    module = make(*arguments)  # type: ignore[operator]
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module  # type: ignore[no-any-return]


def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(STEPS, BATCH, SIZE), torch.randn(BATCH, SIZE)


def highway(gates: Tensor, state: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    c, g = gates.chunk(2, dim=1)
    return state + c.sigmoid() * (act(g) - state)


def entered(cell: DartsCell | SearchCell, x: Tensor, h: Tensor) -> Tensor:
    return highway(cell.entry.gates(torch.cat([x, h], dim=1)), h, torch.tanh)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_derived_cell_is_the_equation(name: str) -> None:
    cell = seeded(DartsCell, PUBLISHED[name], SIZE)
    assert isinstance(cell, DartsCell)
    xs, h = inputs()
    found, (last,) = cell(xs, (h,), Dropout(), None)
    for x, output in zip(xs, found, strict=True):
        states = [entered(cell, x, h)]
        for node, block in zip(cell.genotype.nodes, cell.nodes, strict=True):
            assert isinstance(block, HighwayBlock)
            states.append(highway(block.gates(states[node.reads]), states[node.reads], ANSWERS[node.act]))
        h = torch.stack([states[i] for i in cell.genotype.concat]).mean(0)
        torch.testing.assert_close(output, h)
    torch.testing.assert_close(last, h)


def test_the_search_cell_is_the_equation() -> None:
    cell = seeded(SearchCell, SIZE, 3)
    assert isinstance(cell, SearchCell)
    cell.mixture = torch.randn(edge_count(3), len(LABELS)).softmax(-1)
    xs, h = inputs()
    found, _ = cell(xs, (h,), Dropout(), None)

    def normed(x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()

    for x, output in zip(xs, found, strict=True):
        states = [normed(entered(cell, x, h))]
        for i in range(1, 4):
            total = torch.zeros(BATCH, SIZE)
            for j, s in enumerate(states):
                shares = dict(zip(LABELS, cell.mixture[edge(i, j)], strict=True))
                for name, act in ANSWERS.items():
                    total += shares[name] * highway(s @ cell.weight[i - 1], s, act)
            states.append(normed(total))
        h = torch.stack(states[1:]).mean(0)
        torch.testing.assert_close(output, h, rtol=1e-4, atol=1e-5)


def test_a_mixture_of_one_cell_is_the_derived_cell() -> None:
    genotype = Genotype.parse("relu<0 tanh<1 sigmoid<0")
    search = seeded(SearchCell, SIZE, 3).eval()
    assert isinstance(search, SearchCell)
    search.mixture = nn.functional.one_hot(torch.zeros(edge_count(3), dtype=torch.long), len(LABELS)).float()
    for i, node in enumerate(genotype.nodes, 1):
        search.mixture[edge(i, node.reads)] = torch.eye(len(LABELS))[LABELS.index(node.act)]
    xs, h = inputs()
    mixed, _ = search(xs, (h,), Dropout(), None)
    derived, _ = search.derived(genotype)(xs, (h,), Dropout(), None)
    torch.testing.assert_close(mixed, derived, rtol=1e-3, atol=1e-4)  # but for normalisation's epsilon


@pytest.mark.parametrize("cell", [DartsCell(PUBLISHED["darts-rnn-v2"], SIZE), SearchCell(SIZE), LstmCell(SIZE)])
def test_a_segment_goes_on_where_the_one_before_it_stopped(cell: Cell) -> None:
    xs, _ = inputs()
    cell.eval()  # type: ignore[attr-defined]
    whole, _ = cell(xs, cell.initial(BATCH), Dropout(), None)
    first, state = cell(xs[:3], cell.initial(BATCH), Dropout(), None)
    second, _ = cell(xs[3:], state, Dropout(), None)
    torch.testing.assert_close(torch.cat([first, second]), whole)


@pytest.mark.parametrize("cell", [DartsCell(PUBLISHED["darts-rnn-v1"], SIZE), LstmCell(SIZE)])
def test_one_step_is_what_segments_are_made_of(cell: nn.Module) -> None:
    model = seeded(LanguageModel, 11, cell).eval()
    assert isinstance(model, LanguageModel)
    tokens = torch.arange(11).repeat(3)
    read, _ = model(tokens[:, None], model.recurrent.initial(1), Dropout(), None)
    step, state = StepModel(model), model.recurrent.initial(1)
    for token, expected in zip(tokens, read.logits, strict=True):
        logits, *after = step(token.int().view(1, 1), *state)
        state = tuple(after)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_dropout_is_locked_over_a_segment() -> None:
    model = LanguageModel(5, DartsCell(PUBLISHED["darts-rnn-v1"], SIZE))
    tokens = torch.zeros(STEPS, BATCH, dtype=torch.long)
    read, _ = model(tokens, model.recurrent.initial(BATCH), Dropout(output=0.5), torch.Generator().manual_seed(0))
    gone = read.dropped == 0
    assert gone.any() and not gone.all()
    assert gone.equal(gone[:1].expand_as(gone))


@pytest.mark.parametrize("cell", [DartsCell(PUBLISHED["darts-rnn-v1"], SIZE), SearchCell(SIZE), LstmCell(SIZE)])
def test_equal_draws_drop_the_same(cell: nn.Module) -> None:
    model = LanguageModel(5, cell)
    tokens = torch.arange(STEPS * BATCH).view(STEPS, BATCH) % 5

    def logits(seed: int) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        found: Tensor = model(tokens, model.recurrent.initial(BATCH), OF_TRAINING, random)[0].logits
        return found

    assert logits(0).equal(logits(0))
    assert not logits(0).equal(logits(1))


def test_decoder_and_embedding_are_one() -> None:
    model = LanguageModel(5, LstmCell(SIZE))
    names = [name for name, _ in model.named_parameters() if not name.startswith("cell.")]
    assert names == ["embedding", "bias"]


def test_evaluation_leaves_a_model_as_it_was() -> None:
    model = LanguageModel(5, DartsCell(PUBLISHED["darts-rnn-v1"], SIZE)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    text = torch.arange(300).view(100, 3) % 5
    assert evaluate(model, text) == evaluate(model, text)
    assert model.training and all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_states_that_rest_are_not_punished_for_slowness() -> None:
    model = LanguageModel(5, LstmCell(SIZE))
    read, _ = model(torch.zeros(STEPS, BATCH, dtype=torch.long), model.recurrent.initial(BATCH), Dropout(), None)
    still = type(read)(read.logits, torch.ones(STEPS, BATCH, SIZE), torch.zeros(STEPS, BATCH, SIZE))
    assert regularised(torch.tensor(2.0), still, activity=1.0, slowness=1.0) == 2.0
