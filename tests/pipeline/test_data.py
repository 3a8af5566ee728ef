from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from torchvision.datasets import CIFAR10

from pipeline.data import DATASETS, Augment, Data, DataError, Normalisation, Split, load_data
from pipeline.data.batches import augmented, batches, normalised, step_count
from pipeline.data.fashion_mnist import read_idx
from pipeline.data.memory import InMemory
from pipeline.data.request import ROOT_VARIABLE
from pipeline.data.seeding import generator
from pipeline.data.splits import normalisation_of
from profilers.shape import Shape

UNIT = Normalisation(mean=0.0, std=1 / 255)  # pixel values come back as they are


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits")


def numbered(count: int) -> Split:
    """A split whose image i has the value i everywhere."""
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, 4, 4)
    return Split.whole(InMemory.of(pixels, None), torch.arange(count) % 3)


def write_idx(path: Path, array: np.ndarray) -> None:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion_mnist(folder: Path, suffix: str) -> None:
    for name, count in (("train", 40), ("t10k", 20)):
        images = np.arange(count)[:, None, None] * np.ones((1, 28, 28))
        write_idx(folder / f"{name}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte{suffix}", np.arange(count) % 10)


def write_images(folder: Path, classes: tuple[str, ...], count: int) -> None:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (20 + i, 12), (label * 100, i, 0)).save(folder / name / f"{i}.png")


def test_a_part_of_the_training_images_has_its_share_of_each_class_and_the_whole_test() -> None:
    few, whole = load_data("digits?images=500"), load_data("digits")
    assert abs(len(few.training) - 500) <= 5 and len(few.test) == len(whole.test)
    counts = few.training.labels.bincount() / whole.training.labels.bincount()
    assert counts.max() - counts.min() < 0.02


@pytest.mark.parametrize("count", ["0", "-3", "many", "1000000"])
def test_a_part_that_no_data_set_has_is_refused(count: str) -> None:
    with pytest.raises(DataError, match="images="):
        load_data(f"digits?images={count}")


def test_digits_are_built_in_and_divided_60_20_20(digits: Data) -> None:
    assert digits.shape == Shape(8, 8, 1)
    assert [len(split) for split in (digits.weights, digits.architecture, digits.test)] == [1079, 359, 359]
    assert digits.classes == tuple("0123456789")
    assert len(digits.training) == 1438


def test_every_data_set_says_under_which_licence_its_images_are(digits: Data, tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path, ".gz")
    write_images(tmp_path / "photos", ("cat", "dog"), 4)
    assert digits.licence.startswith("CC BY 4.0")
    assert load_data("fashion-mnist", root=tmp_path).licence.startswith("MIT")
    assert load_data("fashion-mnist?images=30", root=tmp_path).licence.startswith("MIT")
    assert load_data(f"imagefolder:{tmp_path / 'photos'}", resolution=8).licence.startswith("not known")


def test_pixels_of_digits_use_the_whole_range_of_a_byte(digits: Data) -> None:
    pixels, _ = digits.weights.read(torch.arange(200))
    assert pixels.dtype == torch.uint8
    assert (int(pixels.min()), int(pixels.max())) == (0, 255)


@given(seed=st.integers(0, 2**40))
@settings(max_examples=20)
def test_splits_share_no_image_whatever_the_seed(seed: int) -> None:
    data = load_data("digits", seed=seed)
    indices = torch.cat([split.indices for split in (data.weights, data.architecture, data.test)])
    assert indices.sort().values.tolist() == list(range(1797))


def test_the_test_split_is_the_same_for_every_seed(digits: Data) -> None:
    other = load_data("digits", seed=7)
    assert torch.equal(other.test.indices, digits.test.indices)
    assert not torch.equal(other.weights.indices, digits.weights.indices)


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), fraction=st.floats(0, 1), seed=st.integers(0, 99))
def test_dividing_keeps_every_class_on_both_sides(counts: list[int], fraction: float, seed: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    every = Split.whole(InMemory.of(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), None), labels)
    kept, held = every.divided(fraction, seed=seed)
    assert not kept.overlaps(held)
    assert len(kept) + len(held) == len(every)
    expected = [min(max(1, round(fraction * count)), count - 1) for count in counts]
    assert held.labels.bincount().tolist() == expected


def test_splits_that_share_an_image_are_refused() -> None:
    split = numbered(6)
    names = ("weights", "architecture", "test")
    with pytest.raises(ValueError, match="share images"):
        Data(
            name="d",
            classes=("a",),
            shape=split.shape,
            normalisation=UNIT,
            augment=Augment(),
            licence="",
            **dict.fromkeys(names, split),
        )


def test_a_class_of_one_image_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="class 2 has 1 image"):
        numbered(3 + 2).divided(0.2, seed=0)


def test_normalisation_gives_the_weight_split_mean_0_and_deviation_1(digits: Data) -> None:
    pixels, _ = digits.weights.read(torch.arange(len(digits.weights)))
    images = normalised(pixels, digits.normalisation)
    assert float(images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.std()) == pytest.approx(1, abs=1e-3)


def test_images_of_one_colour_normalise_to_finite_numbers() -> None:
    pixels = torch.full((9, 1, 4, 4), 7, dtype=torch.uint8)
    every = Split.whole(InMemory.of(pixels, None), torch.arange(9) % 3)
    assert normalised(pixels, normalisation_of(every)).isfinite().all()


def test_another_resolution_resizes_images_in_memory() -> None:
    data = load_data("digits", resolution=12)
    assert data.shape == Shape(12, 12, 1)
    assert data.weights.read(torch.tensor([0]))[0].shape == (1, 1, 12, 12)


@given(size=st.integers(1, 40), batch=st.integers(1, 12), seed=st.integers(), epoch=st.integers(0, 5), data=st.data())
def test_a_resumed_epoch_sees_exactly_the_same_batches(
    size: int, batch: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    split, augment = numbered(size), Augment(shift=1, flip=0.5, cutout=2)

    def epoch_from(start: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(
            batches(split, batch_size=batch, normalisation=UNIT, seed=seed, epoch=epoch, augment=augment, start=start)
        )

    whole = epoch_from(0)
    start = data.draw(st.integers(0, len(whole)))
    torch.rand(1)  # whatever else happens in the process
    resumed = epoch_from(start)
    assert len(whole) == step_count(split, batch)
    assert len(resumed) == len(whole) - start
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(whole[start:], resumed, strict=True))


@given(size=st.integers(1, 40), batch=st.integers(1, 12))
def test_without_shuffling_every_image_comes_once_in_order(size: int, batch: int) -> None:
    found = list(batches(numbered(size), batch_size=batch, normalisation=UNIT, shuffle=False))
    assert torch.cat([x[:, 0, 0, 0] for x, _ in found]).round().tolist() == list(range(size))
    assert len(found) == step_count(numbered(size), batch, shuffle=False)


def test_a_shuffled_epoch_sees_no_image_twice_and_full_batches_only() -> None:
    split = numbered(23)
    orders = [
        torch.cat([x[:, 0, 0, 0].round() for x, _ in batches(split, batch_size=5, normalisation=UNIT, epoch=epoch)])
        for epoch in range(2)
    ]
    assert [len(set(order.tolist())) for order in orders] == [20, 20]
    assert not torch.equal(*orders)


def test_batches_leave_the_global_generator_alone(digits: Data) -> None:
    before = torch.get_rng_state()
    next(batches(digits.weights, batch_size=8, normalisation=digits.normalisation, augment=Augment(shift=1, flip=0.5)))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_channels_last() -> None:
    split = Split.whole(InMemory.of(torch.zeros(8, 3, 4, 4, dtype=torch.uint8), None), torch.zeros(8).long())
    images, labels = next(batches(split, batch_size=4, normalisation=UNIT))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_a_shift_moves_the_image_and_fills_with_zeros() -> None:
    pixels = torch.zeros(200, 1, 5, 5, dtype=torch.uint8)
    pixels[:, 0, 2, 2] = 255
    moved = augmented(pixels, Augment(shift=1), generator(0))
    assert (moved.sum((1, 2, 3), dtype=torch.int64) == 255).all()
    places = moved.flatten(1).argmax(1)
    assert sorted(set(places.tolist())) == [6, 7, 8, 11, 12, 13, 16, 17, 18]


def test_a_certain_flip_mirrors_every_image() -> None:
    pixels = torch.arange(12, dtype=torch.uint8).reshape(2, 1, 2, 3)
    assert torch.equal(augmented(pixels, Augment(flip=1.0), generator(0)), pixels.flip(3))


def test_cutout_blanks_a_square_at_most() -> None:
    pixels = torch.ones(300, 2, 9, 9, dtype=torch.uint8)
    blank = (augmented(pixels, Augment(cutout=3), generator(0)) == 0).sum((2, 3))
    assert (blank[:, 0] == blank[:, 1]).all()
    assert set(blank[:, 0].tolist()) == {4, 6, 9}


@pytest.mark.parametrize(("shift", "flip", "cutout"), [(-1, 0.5, 0), (0, 1.5, 0), (0, 0.5, -2)])
def test_an_augmentation_that_makes_no_sense_is_refused(shift: int, flip: float, cutout: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Augment(shift=shift, flip=flip, cutout=cutout)


@pytest.mark.parametrize(
    ("folder", "suffix"), [("fashion-mnist", ".gz"), ("FashionMNIST/raw", ""), ("FashionMNIST/raw", ".gz"), (".", "")]
)
def test_fashion_mnist_is_read_from_debians_and_torchvisions_folders(tmp_path: Path, folder: str, suffix: str) -> None:
    write_fashion_mnist(tmp_path / folder, suffix)
    data = load_data("fashion-mnist", root=tmp_path)
    assert (data.shape, len(data.weights), len(data.architecture), len(data.test)) == (Shape(28, 28, 1), 30, 10, 20)
    images, labels = data.test.read(torch.tensor([12]))
    assert (set(images.flatten().tolist()), labels.tolist()) == ({12}, [2])


def test_the_packaged_fashion_mnist_is_read_where_it_lies(require: Callable[[str], Path]) -> None:
    data = load_data("fashion-mnist", root=require("fashion-mnist"))
    assert (len(data.weights), len(data.architecture), len(data.test)) == (48_000, 12_000, 10_000)
    assert data.weights.labels.bincount().tolist() == [4800] * 10
    assert data.normalisation.mean == pytest.approx(0.2860, abs=0.005)  # the published mean of all pixels


def test_a_missing_data_set_says_where_it_looked_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(DataError, match=r"not found in .*/mine; add --download, or install .*dataset-fashion-mnist"):
        load_data("fashion-mnist")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_not_downloaded_unasked(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="--download"):
        load_data(name, root=tmp_path)


def write_cifar10(root: Path) -> None:
    folder = root / CIFAR10.base_folder
    folder.mkdir()
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        pixels = np.zeros((20, 3, 32, 32), np.uint8)
        pixels[:, 2, 5, 6] = 9  # blue, row 5, column 6
        (folder / name).write_bytes(pickle.dumps({"data": pixels.reshape(20, -1), "labels": [*range(10)] * 2}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))


def test_cifar_keeps_channels_rows_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path)
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)  # the published md5 sums
    monkeypatch.setitem(CIFAR10.meta, "md5", None)
    data = load_data("cifar10", root=tmp_path)
    assert (data.shape, len(data.training), len(data.test)) == (Shape(32, 32, 3), 100, 20)
    images, labels = data.test.read(torch.tensor([13]))
    assert (images.nonzero().tolist(), labels.tolist()) == ([[0, 2, 5, 6]], [3])
    assert data.licence.startswith("none is stated")


def test_a_damaged_cifar_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=f"'cifar10' in {tmp_path}"):
        load_data("cifar10", root=tmp_path)


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_a_download_that_fails_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=rf"'{name}' in {tmp_path}: .*refused>?$"):
        load_data(name, root=tmp_path, download=True)


@given(array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, max_side=5)))
def test_an_idx_file_reads_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "array.gz"
    write_idx(path, array)
    assert np.array_equal(read_idx(path), array)


@given(content=st.binary(max_size=40), suffix=st.sampled_from(["", ".gz"]))
def test_any_other_file_is_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"garbage{suffix}"
    path.write_bytes(b"\1" + content)
    with pytest.raises(DataError, match="garbage"):
        read_idx(path)


def test_a_cut_off_idx_file_is_a_data_error(tmp_path: Path) -> None:
    write_idx(tmp_path / "whole", np.zeros((3, 4)))
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"11 elements instead of \[3, 4\]"):
        read_idx(tmp_path / "cut")


def test_images_and_labels_of_different_number_are_refused(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path, "")
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(3))
    with pytest.raises(DataError, match="do not belong together"):
        load_data("fashion-mnist", root=tmp_path)


def test_an_image_folder_is_divided_class_by_class(tmp_path: Path) -> None:
    write_images(tmp_path, ("cat", "dog"), 10)
    data = load_data(f"imagefolder:{tmp_path}", resolution=8)
    assert (data.classes, data.shape) == (("cat", "dog"), Shape(8, 8, 3))
    splits = (data.weights, data.architecture, data.test)
    assert [split.labels.bincount().tolist() for split in splits] == [[6, 6], [2, 2], [2, 2]]


def test_a_test_folder_is_used_where_there_is_one(tmp_path: Path) -> None:
    write_images(tmp_path / "train", ("cat", "dog"), 5)
    write_images(tmp_path / "val", ("cat", "dog"), 3)
    data = load_data(f"imagefolder:{tmp_path}", resolution=8)
    assert len(data.test) == 6
    images, labels = data.test.read(torch.tensor([5]))
    assert (images[0, :, 4, 4].tolist(), labels.tolist()) == ([100, 2, 0], [1])


def test_the_centre_of_an_image_is_kept_upright(tmp_path: Path) -> None:
    write_images(tmp_path, ("a", "b"), 3)
    wide = Image.new("RGB", (30, 10), "red")
    wide.paste("blue", (10, 0, 20, 10))
    wide.save(tmp_path / "a" / "0.png")
    data = load_data(f"imagefolder:{tmp_path}", resolution=10)
    first = data.weights.source.images.read(torch.tensor([0]))[0]
    assert [set(channel.flatten().tolist()) for channel in first] == [{0}, {0}, {255}]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ((), "no such folder"),
        (("cat",), "holds one folder of images for each class"),
        (("cat", "dog"), "no images"),
        (("train/cat", "train/dog"), "no images"),
    ],
)
def test_a_folder_that_is_no_image_folder_is_refused(tmp_path: Path, folders: tuple[str, ...], message: str) -> None:
    for folder in folders:
        (tmp_path / "photos" / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=message):
        load_data(f"imagefolder:{tmp_path / 'photos'}")


def test_test_images_of_other_classes_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "train", ("cat", "dog"), 3)
    write_images(tmp_path / "test", ("cat", "fox"), 1)
    with pytest.raises(DataError, match="name the classes alike"):
        load_data(f"imagefolder:{tmp_path}")


def test_training_images_without_test_images_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "train", ("cat", "dog"), 3)
    with pytest.raises(DataError, match="none named test or val"):
        load_data(f"imagefolder:{tmp_path}")


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, ("cat", "dog"), 3)
    for image in (tmp_path / "cat").iterdir():
        image.write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"cat/\d.png: not a readable image"):
        load_data(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "resolution"), [("mnist", None), ("imagefolder", None), ("digits:here", None), ("digits", 0)]
)
def test_a_wrong_name_or_resolution_is_a_data_error(name: str, resolution: int | None) -> None:
    with pytest.raises(DataError, match=name):
        load_data(name, resolution=resolution)


def test_the_data_sets_are_the_documented_ones() -> None:
    assert list(DATASETS) == ["digits", "fashion-mnist", "cifar10", "cifar100", "imagefolder"]
