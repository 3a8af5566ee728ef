from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latency_tables.table_file import save_table
from pipeline.architecture import Architecture
from pipeline.collapse import DOMINANT, parameterless
from pipeline.metrics import read_metrics
from pipeline.plan import Plan, TargetPlan
from pipeline.run import Run
from pipeline.search_settings import SearchSettings
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.stage import run_stage
from pipeline.stages.search import SEARCH

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Notes

# Three of five decisions may be identities.
DEEP = "mbconv-8?stem=8&first=8&widths=8,16&depths=4,1&strides=2,1&kernels=3&expands=1,2&head=16"


def test_the_share_of_choices_without_parameters_is_counted(space: SearchSpace) -> None:
    assert parameterless(Architecture(space, (0, 2, 1))) == pytest.approx(1 / 3)
    assert parameterless(Architecture(space, (0, 1, 1))) == 0


def test_choices_without_parameters_that_dominate_are_told_once_and_in_every_epochs_metrics(
    make_table: MakeTable, tmp_path: Path, notes: Notes
) -> None:
    space, table = parse_space(DEEP), tmp_path / "table.yaml"
    save_table(make_table(space), table)
    targets = (TargetPlan(target="local:onnxruntime", budget="0%", table=str(table)),)
    search = SearchSettings(epochs=3, warmup_epochs=1, batch_size=256)
    plan = Plan(name="collapsed", space=space.name, data="digits", targets=targets, search=search)
    run_stage(SEARCH, Run(folder=tmp_path / "run", plan=plan, watch=notes))
    told = [note for note in notes.notes if "have no parameters" in note]
    assert len(told) == 1
    assert told[0].startswith("search (proxyless), epoch 2: 60% of the choices have no parameters")
    shares = [line["parameterless"] for line in read_metrics(tmp_path / "run", "search")]
    assert shares == [0.6] * 3 and shares[0] > DOMINANT
