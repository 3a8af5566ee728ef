"""Step models as ONNX and LiteRT files: converted, and held against PyTorch over a whole text."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from deploy.errors import ParityError
from deploy.parity import FP32_TOLERANCE
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.settings import Dropout
from pipeline.recurrent.step import StepModel
from profilers.errors import TargetError
from profilers.runtimes.refusal import REFUSALS, refusal

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray
    # The number of a token and the state -> logits [1, V] and the next state.
    Run = Callable[[int, list[Array]], tuple[Array, list[Array]]]

SUFFIXES = {"onnxruntime": ".onnx", "litert": ".tflite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFile:
    """A converted step model, and how far it is from PyTorch over a text whose state it carries itself."""

    path: str
    runtime: str
    size_bytes: int
    tokens: int
    max_abs_difference: float  # of a logit
    max_abs_logit: float
    same_guess: float  # share of tokens after which the same one is the most probable


def write_step_file(model: LanguageModel, runtime: str, path: Path, text: Tensor) -> StepFile:
    """Convert, then check over `text` [N]; raises CompileError, ParityError, and TargetError for other runtimes."""
    step = StepModel(model).eval()
    example = (torch.zeros(1, 1, dtype=torch.int32), *model.recurrent.initial(1))
    path.parent.mkdir(parents=True, exist_ok=True)
    if runtime == "onnxruntime":
        _to_onnx(step, example, path)
    elif runtime == "litert":
        _to_litert(step, example, path)
    else:
        raise TargetError(f"no step model for runtime {runtime!r}; there are {', '.join(SUFFIXES)}")
    return _checked(model, runtime, path, text)


def _to_onnx(step: StepModel, example: tuple[Tensor, ...], path: Path) -> None:
    states = [f"state{i}" for i in range(len(example) - 1)]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter warns of its own internals
            program = torch.onnx.export(
                step,
                example,
                input_names=["token", *states],
                output_names=["logits", *(f"next_{name}" for name in states)],
                dynamo=True,
                verbose=False,
            )
    except REFUSALS as error:
        raise refusal("torch.onnx.export", error) from error
    assert program is not None  # as it would be for an exporter of another kind
    for node in program.model.graph.all_nodes():  # the exporter's stack traces, paths of this machine in them
        node.metadata_props.clear()
    path.write_bytes(program.model_proto.SerializeToString())


def _to_litert(step: StepModel, example: tuple[Tensor, ...], path: Path) -> None:
    try:
        with warnings.catch_warnings(), _hushed():
            warnings.simplefilter("ignore")  # the converter and what it imports warn of their own internals
            import litert_torch

            litert_torch.convert(step, example).export(str(path))
    except REFUSALS as error:
        raise refusal("litert_torch.convert", error) from error


def _checked(model: LanguageModel, runtime: str, path: Path, text: Tensor) -> StepFile:
    """Against the model as it was trained, over whole segments: its steps are checked with their conversion."""
    with torch.inference_mode():
        read, _ = model.eval()(text[:, None], model.recurrent.initial(1), Dropout(), None)
    expected = read.logits[:, 0].numpy()
    found = _logits(_runner(runtime, path), text, [each.numpy() for each in model.recurrent.initial(1)])
    difference, largest = float(abs(found - expected).max()), float(abs(expected).max())
    same = float((found.argmax(1) == expected.argmax(1)).mean())
    # Written so that a difference that is not a number fails too.
    if not difference <= FP32_TOLERANCE * largest:
        raise ParityError(
            f"{path}: {runtime} differs from PyTorch by {difference:.3g} on logits up to {largest:.3g} within "
            f"{len(text)} tokens, more than the {FP32_TOLERANCE:.0e} allowed; export again"
        )
    return StepFile(
        path=str(path),
        runtime=runtime,
        size_bytes=path.stat().st_size,
        tokens=len(text),
        max_abs_difference=difference,
        max_abs_logit=largest,
        same_guess=same,
    )


def _logits(run: Run, text: Tensor, state: list[Array]) -> Array:
    import numpy as np

    found = []
    for token in text.tolist():
        logits, state = run(token, state)
        found.append(logits[0])
    return np.stack(found)


def _runner(runtime: str, path: Path) -> Run:
    return _onnx_runner(path) if runtime == "onnxruntime" else _litert_runner(path)


def _onnx_runner(path: Path) -> Run:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(token: int, state: list[Array]) -> tuple[Array, list[Array]]:
        given = (np.array([[token]], dtype=np.int32), *state)
        logits, *after = session.run(None, dict(zip(names, given, strict=True)))
        return logits, after

    return run


def _litert_runner(path: Path) -> Run:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    with _hushed():
        signature: Any = Interpreter(str(path)).get_signature_runner()

    def run(token: int, state: list[Array]) -> tuple[Array, list[Array]]:
        given = (np.array([[token]], dtype=np.int32), *state)
        with _hushed():  # the first call tells of its delegate
            told = signature(**{f"args_{i}": each for i, each in enumerate(given)})
        logits, *after = (told[f"output_{i}"] for i in range(len(told)))
        return logits, after

    return run


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Native code tells its own log to stdout and stderr, past Python: meanwhile nobody hears it."""
    kept = [os.dup(1), os.dup(2)]
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        yield
    finally:
        for place, each in enumerate(kept, 1):
            os.dup2(each, place)
            os.close(each)
        os.close(silence)
