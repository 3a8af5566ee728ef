from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch

from deploy.errors import ParityError
from pipeline.recurrent import step_file
from pipeline.recurrent.cell import DartsCell, LstmCell
from pipeline.recurrent.genotype import Genotype
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.step import PackedStep, StepModel
from pipeline.recurrent.step_file import SUFFIXES, write_step_file

VOCAB = 12
EVERYTHING = Genotype.parse("tanh<0 relu<1 sigmoid<0 identity<2 -> 2 3 4")


def made(cell: torch.nn.Module) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(VOCAB, cell)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def text(length: int) -> torch.Tensor:
    return torch.randint(VOCAB, (length,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("runtime", SUFFIXES)
@pytest.mark.parametrize("cell", [DartsCell(EVERYTHING, 16), LstmCell(16)], ids=["searched", "lstm"])
def test_a_file_carries_its_state_over_a_whole_text(cell: torch.nn.Module, runtime: str, tmp_path: Path) -> None:
    found = write_step_file(made(cell), runtime, tmp_path / f"step{SUFFIXES[runtime]}", text(400))
    assert found.tokens == 400
    assert found.max_abs_difference <= 1e-5 * found.max_abs_logit
    assert found.same_guess == 1.0


def test_inputs_and_outputs_have_names_and_weights_are_there_once(tmp_path: Path) -> None:
    model, path = made(DartsCell(EVERYTHING, 64)), tmp_path / "step.onnx"
    write_step_file(model, "onnxruntime", path, text(3))
    session = onnxruntime.InferenceSession(path)
    assert [(each.name, each.shape, each.type) for each in session.get_inputs()] == [
        ("token", [1, 1], "tensor(int32)"),
        ("state0", [1, 64], "tensor(float)"),
    ]
    assert [each.name for each in session.get_outputs()] == ["logits", "next_state0"]
    assert path.stat().st_size < 4 * sum(each.numel() for each in model.parameters()) + 10_000


def test_a_file_that_forgets_its_state_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_file, "_to_onnx", forgetting)
    with pytest.raises(ParityError, match="differs from PyTorch"):
        write_step_file(made(DartsCell(EVERYTHING, 16)), "onnxruntime", tmp_path / "step.onnx", text(20))


def forgetting(step: StepModel, example: tuple[torch.Tensor, ...], path: Path) -> None:
    """Converts a step whose state is always that before the first token."""

    class Forgetting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = step

        def forward(self, token: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return step(token, 0 * state)  # type: ignore[no-any-return]

    program = torch.onnx.export(
        Forgetting().eval(),
        example,
        input_names=["token", "state0"],
        output_names=["logits", "next_state0"],
        dynamo=True,
    )
    assert program is not None
    program.save(path)


@pytest.mark.parametrize("cell", [DartsCell(EVERYTHING, 16), LstmCell(16)], ids=["searched", "lstm"])
def test_what_is_timed_is_the_same_step(cell: torch.nn.Module) -> None:
    step, states = StepModel(made(cell)), [torch.randn(1, 16) for _ in cell.initial(1)]  # type: ignore[operator]
    packed = PackedStep(step, len(states))(torch.cat([torch.tensor([[3.0]]), *states], dim=1)[:, :, None, None])
    logits, *after = step(torch.tensor([[3]]), *states)
    torch.testing.assert_close(packed, torch.cat([logits, *after], dim=1))
