"""metrics.jsonl and TensorBoard events: what a run told while it went."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from profilers.errors import FileError


class Metrics:
    """Appends one line per epoch to `metrics.jsonl`, and the same numbers to TensorBoard.

    A stage that begins anew says so; what it told before no longer counts. An epoch told twice, by a run that was
    killed and went on, counts once: the last line does.
    """

    def __init__(self, run: Path, stage: str, *, anew: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        board = run / "tensorboard" / stage
        if anew:
            shutil.rmtree(board, ignore_errors=True)
        self._stage = stage
        path = run / "metrics.jsonl"
        _mend(path)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(board))
        if anew:
            self._append({"stage": stage, "begin": True})

    def tell(self, epoch: int, values: Mapping[str, Any]) -> None:
        self._append({"stage": self._stage, **values})
        for name, value in _flat(values).items():
            self._board.add_scalar(f"{self._stage}/{name}", value, epoch)

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._board.close()


def search_metrics(seeds: int, seed: int) -> str:
    """What the search of one of so many seeds is called among the metrics of a run."""
    return "search" if seeds == 1 else f"search/seed{seed}"


def _mend(path: Path) -> None:
    """Take off a line that a kill tore: the next one would be glued to it."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def read_metrics(run: Path, stage: str) -> list[dict[str, Any]]:
    """The lines of a stage since it last began, one per epoch; a line torn by a kill is left out."""
    path = run / "metrics.jsonl"
    epochs: dict[int, dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            if line.pop("stage") != stage:
                continue
            if "begin" in line:
                epochs.clear()
            else:
                epochs[line["epoch"]] = line
        except (ValueError, KeyError, TypeError, AttributeError):
            if number == len(lines):
                continue
            raise FileError(f"{path}:{number}: not a line of metrics") from None
    return [epochs[epoch] for epoch in sorted(epochs)]


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{inner}": number for inner, number in _flat(value).items()}
        elif isinstance(value, int | float) and name != "epoch":
            flat[name] = value
    return flat
