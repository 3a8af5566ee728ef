from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from deploy.bundle import Bundle
from deploy.manifest import MANIFEST, MANIFEST_SCHEMA, Accuracy, manifest_schema, read_manifest, wilson_interval
from profilers.errors import FileError

counts = st.integers(1, 100_000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images)))


@given(counts)
def test_the_interval_holds_the_fraction_and_stays_within_0_and_1(count: tuple[int, int]) -> None:
    correct, images = count
    low, high = wilson_interval(correct, images)
    assert 0 <= low <= correct / images <= high <= 1
    assert low < high


@given(counts)
def test_the_interval_of_errors_mirrors_that_of_successes(count: tuple[int, int]) -> None:
    correct, images = count
    low, high = wilson_interval(correct, images)
    assert wilson_interval(images - correct, images) == pytest.approx((1 - high, 1 - low))


@given(counts, st.integers(2, 50))
def test_more_images_narrow_the_interval(count: tuple[int, int], factor: int) -> None:
    correct, images = count
    low, high = wilson_interval(correct, images)
    narrow_low, narrow_high = wilson_interval(correct * factor, images * factor)
    assert narrow_high - narrow_low < high - low


@pytest.mark.parametrize(
    ("correct", "images", "expected"),
    [(0, 10, (0, 0.27753)), (5, 10, (0.23659, 0.76341)), (81, 263, (0.25527, 0.36617))],
)
def test_the_interval_is_the_published_one(correct: int, images: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(correct, images) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("correct", "images"), [(0, 0), (-1, 10), (11, 10)])
def test_no_fraction_has_no_interval(correct: int, images: int) -> None:
    with pytest.raises(ValueError, match="no fraction"):
        Accuracy.of(correct=correct, images=images)


def test_a_manifest_reads_back_as_it_was_written(bundle: Bundle) -> None:
    assert read_manifest(bundle.folder / MANIFEST) == bundle.manifest


def test_the_shipped_schema_names_every_field_of_the_manifest(server: Bundle) -> None:
    schema = json.loads((server.folder / MANIFEST_SCHEMA).read_text())
    assert schema == manifest_schema()
    document = json.loads((server.folder / MANIFEST).read_text())
    assert set(schema["properties"]) == set(schema["required"]) == set(document)
    for name, record in (("Model", document["models"][0]), ("Measured", document["models"][0]["measured"][0])):
        described = schema["$defs"][name]
        assert set(described["properties"]) == set(record)
        assert set(record) - set(described["required"]) <= {"groups"}  # which earlier bundles of this schema lack


def test_other_programs_read_a_manifest_by_its_schema(bundle: Bundle) -> None:
    schema = json.loads((bundle.folder / MANIFEST_SCHEMA).read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads((bundle.folder / MANIFEST).read_text()))


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document.update(schema=1),
        lambda document: document.update(extra=1),
        lambda document: document["models"][0].pop("golden"),
        lambda document: document["models"][0].update(precision="int4"),
        lambda document: _first(document).update(p90_ms=0),
    ],
)
def test_the_schema_refuses_what_millis_refuses(edit: Callable[[dict[str, Any]], object], server: Bundle) -> None:
    schema = json.loads((server.folder / MANIFEST_SCHEMA).read_text())
    document = json.loads((server.folder / MANIFEST).read_text())
    edit(document)
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda document: document["models"][0].pop("golden"), r"models\.0\.golden"),
        (lambda document: document.update(extra=1), "extra: no such field"),
        (lambda document: _first(document).update(measured=1), r"models\.0\.measured\.0\.measured: no such field"),
        (lambda document: _first(document).update(p90_ms=0), r".*p90_ms: input should be greater than 0"),
        (lambda document: _first(document).update(spread=float("inf")), r".*spread"),
        (lambda document: document["accuracy"].update(top1=98.6), "accuracy.top1"),
        (lambda document: document["models"][0]["golden"]["outputs"].update(shape=[40]), r".*golden: .*four sizes"),
        (lambda document: document.update(models=[]), "models: "),
        (lambda document: document["network"].update(macs=2**53 + 1), r"network\.macs: "),
        (lambda document: document.update(schema=1), "schema: .*version 1, .*reads version 2"),
    ],
)
def test_a_wrong_manifest_is_an_error_naming_the_field(
    edit: Callable[[dict[str, Any]], object], complaint: str, server: Bundle, tmp_path: Path
) -> None:
    document = json.loads((server.folder / MANIFEST).read_text())
    edit(document)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(document))
    with pytest.raises(FileError, match=rf"edited\.json: {complaint}"):
        read_manifest(path)


def _first(document: dict[str, Any]) -> Any:
    """What was measured of the first model."""
    return document["models"][0]["measured"][0]
