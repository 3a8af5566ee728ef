"""Stage `train`: the derived network, trained; then the test split, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.metrics import Metrics
from pipeline.report import TrainPoint
from pipeline.run import Run
from pipeline.search_task import SearchResult
from pipeline.stage import Stage
from pipeline.stages.search import searched_task
from pipeline.strategies import load_strategy
from profilers.files import read_json, write_json

if TYPE_CHECKING:
    from torch import nn

    from pipeline.training import EpochResult

SCHEMA = 1  # 1: accuracies and epochs of the training


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecord:
    """What training gave; accuracies in 0..1."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    start: str
    weights: str  # raw or ema, whichever was better on the architecture split
    validation_accuracy: float  # on the architecture split
    test_correct: int
    test_images: int
    epochs: tuple[TrainPoint, ...]


def read_train_record(run: Run) -> TrainRecord:
    return read_json(run.folder / "train" / "result.json", TrainRecord, kind="training result", schema=SCHEMA)


def _inputs(run: Run) -> Sequence[object]:
    plan = run.plan
    search = [run.search_result_path] if plan.start == "search" else []
    return [run.architecture_path, plan.data, plan.seed, plan.start, asdict(plan.train), *search]


def _outputs(run: Run) -> Sequence[Path]:
    return [run.weights_path, run.folder / "train" / "result.json"]


def _perform(run: Run) -> None:
    from pipeline.checkpoint import save_weights
    from pipeline.training import predict, train

    checkpoint = run.folder / "train" / "checkpoint.safetensors"
    with Metrics(run.folder, "train", anew=not checkpoint.exists()) as metrics:

        def on_epoch(epoch: EpochResult) -> None:
            metrics.tell(epoch.epoch, asdict(epoch))
            run.watch.progress("train", epoch.epoch, run.plan.train.epochs)

        trained = train(
            _initial_network(run),
            run.data,
            run.plan.train,
            seed=run.plan.seed,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
    test = run.data.test
    correct = predict(trained.network, test, run.data.normalisation).argmax(1) == test.labels
    record = TrainRecord(
        start=run.plan.start,
        weights=trained.weights,
        validation_accuracy=trained.accuracy,
        test_correct=int(correct.sum()),
        test_images=len(test),
        epochs=tuple(_point(epoch) for epoch in trained.epochs),
    )
    save_weights(run.weights_path, trained.network)
    write_json(run.folder / "train" / "result.json", {"schema": SCHEMA, **asdict(record)})


def _initial_network(run: Run) -> nn.Module:
    """The derived network: with the weights that the search left it, or fresh ones from the seed."""
    architecture = run.architecture()
    if run.plan.start == "search":
        result = SearchResult.load(run.search_result_path)
        return load_strategy(result.strategy).searched_weights(searched_task(run, result), architecture)
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.plan.seed)
        return architecture.graph().module()


def _point(epoch: EpochResult) -> TrainPoint:
    return TrainPoint(epoch=epoch.epoch, loss=epoch.loss, accuracy=max(epoch.raw_accuracy, epoch.ema_accuracy))


TRAIN = Stage(name="train", inputs=_inputs, work="train", outputs=_outputs, perform=_perform)
