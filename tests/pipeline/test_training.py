from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.autocast import Compute
from pipeline.data import Data, load_data
from pipeline.train_settings import TrainSettings
from pipeline.training import (
    EpochResult,
    TrainingError,
    averaged,
    evaluate,
    learning_rate_at,
    parameter_groups,
    predict,
    train,
)
from profilers.blocks import build_chain
from profilers.errors import FileError
from profilers.op_spec import OpSpec
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, MBConv
from profilers.shape import Shape

SHORT = TrainSettings(epochs=3, batch_size=128)


class StoppedError(Exception):
    """The process died here."""


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits")


def network(seed: int = 0, *operations: Operation) -> nn.Sequential:
    torch.manual_seed(seed)
    specs, shape = [], Shape(8, 8, 1)
    for operation in operations or (
        Conv(8, kernel=3),
        Conv(8, kernel=3),
        MBConv(12, stride=2, expand=2, se=4),
        Classifier(10),
    ):
        specs.append(OpSpec(operation, shape))
        shape = operation.out_shape(shape)
    return build_chain(tuple(specs))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_small_network_learns_digits(digits: Data) -> None:
    trained = train(network(), digits, replace(SHORT, epochs=8, batch_size=32, augment=False), seed=0)
    assert trained.accuracy > 0.9
    assert trained.accuracy == evaluate(trained.network, digits.architecture, digits.normalisation)
    assert not trained.network.training


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_killed_training_resumes_to_the_same_bits(digits: Data, tmp_path: Path, epoch: int) -> None:
    def stop(result: EpochResult) -> None:
        if result.epoch == epoch:
            raise StoppedError

    whole = train(network(), digits, SHORT, seed=1)
    with pytest.raises(StoppedError):
        train(network(), digits, SHORT, seed=1, checkpoint=tmp_path / "state", on_epoch=stop)
    heard: list[int] = []
    resumed = train(
        network(5), digits, SHORT, seed=1, checkpoint=tmp_path / "state", on_epoch=lambda r: heard.append(r.epoch)
    )
    assert heard == list(range(epoch + 1, SHORT.epochs + 1))
    assert same_weights(resumed.network, whole.network)
    assert [replace(r, wall_s=0) for r in resumed.epochs] == [replace(r, wall_s=0) for r in whole.epochs]


def test_a_finished_training_is_not_repeated(digits: Data, tmp_path: Path) -> None:
    settings = replace(SHORT, epochs=1)
    first = train(network(), digits, settings, seed=0, checkpoint=tmp_path / "state")
    heard: list[EpochResult] = []
    second = train(network(9), digits, settings, seed=0, checkpoint=tmp_path / "state", on_epoch=heard.append)
    assert same_weights(first.network, second.network)
    assert (second.epochs, heard) == (first.epochs, [])


def test_the_global_generator_changes_nothing(digits: Data) -> None:
    settings = replace(SHORT, epochs=1)
    one, other = network(), network()
    torch.manual_seed(77)
    train(one, digits, settings, seed=0)
    torch.manual_seed(78)
    train(other, digits, settings, seed=0)
    assert same_weights(one, other)
    assert not same_weights(one, train(network(), digits, settings, seed=1).network)


def test_training_never_reads_the_test_split(digits: Data) -> None:
    class Closed:
        shape = digits.shape

        def read(self, indices: Tensor) -> Tensor:
            raise AssertionError("the test split was read")

    closed = replace(digits.test, source=replace(digits.test.source, images=Closed()))
    train(network(), replace(digits, test=closed), replace(SHORT, epochs=1), seed=0)


def test_a_checkpoint_of_other_settings_is_refused(digits: Data, tmp_path: Path) -> None:
    settings = replace(SHORT, epochs=1)
    train(network(), digits, settings, seed=0, checkpoint=tmp_path / "state")
    with pytest.raises(FileError, match="a training with other settings, seed; delete it"):
        train(network(), digits, SHORT, seed=1, checkpoint=tmp_path / "state")


def test_a_checkpoint_of_another_division_of_the_data_is_refused(digits: Data, tmp_path: Path) -> None:
    settings = replace(SHORT, epochs=1)
    train(network(), digits, settings, seed=0, checkpoint=tmp_path / "state")
    with pytest.raises(FileError, match="a training with other data; delete it"):
        train(network(), load_data("digits", seed=1), settings, seed=0, checkpoint=tmp_path / "state")


def test_a_checkpoint_of_another_network_is_refused(digits: Data, tmp_path: Path) -> None:
    settings = replace(SHORT, epochs=1)
    train(network(), digits, settings, seed=0, checkpoint=tmp_path / "state")
    with pytest.raises(FileError, match="another network"):
        train(network(0, Conv(4), Classifier(10)), digits, settings, seed=0, checkpoint=tmp_path / "state")


def test_a_loss_that_is_not_finite_names_epoch_step_and_what_to_do(digits: Data) -> None:
    broken = network()
    next(broken.parameters()).detach().fill_(math.nan)
    with pytest.raises(TrainingError, match=r"epoch 1, step 1 of 8: try a lower learning_rate than 0\.1"):
        train(broken, digits, SHORT, seed=0)


def test_batch_normalisation_and_biases_do_not_decay() -> None:
    decaying, others = parameter_groups(network(), 0.1)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decaying["params"]} == {2, 4}
    assert {p.ndim for p in others["params"]} == {1}


def test_the_average_follows_its_equation_and_takes_buffers_along() -> None:
    net, expected = nn.BatchNorm1d(1), 0.0
    average = averaged(net, 0.5)
    for n, value in enumerate([4.0, 8.0, 2.0, 6.0, 1.0]):
        net.load_state_dict({name: torch.full_like(tensor, value) for name, tensor in net.state_dict().items()})
        average.update_parameters(net)
        decay = 0.0 if n == 0 else min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    found = average.module.state_dict()
    assert found["weight"].item() == found["running_var"].item() == pytest.approx(expected)
    assert found["num_batches_tracked"].item() == 1


@given(steps=st.integers(1, 200), warmup=st.floats(0, 250))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(steps: int, warmup: float) -> None:
    rates = [learning_rate_at(step, steps, warmup, 0.4) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 0.4 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_predictions_come_in_the_splits_order_and_leave_the_mode(digits: Data) -> None:
    net = network().train()
    logits = predict(net, digits.test, digits.normalisation)
    assert net.training
    assert logits.shape == (len(digits.test), 10)
    assert torch.equal(logits, predict(net.eval(), digits.test, digits.normalisation))
    accuracy = (logits.argmax(1) == digits.test.labels).double().mean()
    assert evaluate(net, digits.test, digits.normalisation) == accuracy


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0}, {"ema_decay": 1}, {"warmup_epochs": -1}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SHORT, **wrong)  # type: ignore[arg-type]


def test_bf16_trains_almost_as_fp32_does(digits: Data) -> None:
    fp32, bf16 = (
        train(network(), digits, replace(SHORT, compute=compute), seed=0).epochs[-1].loss
        for compute in get_args(Compute)
    )
    assert fp32 != bf16 and abs(fp32 - bf16) < 0.05 * fp32
