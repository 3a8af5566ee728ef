"""The stages of a run, in order: from a recipe to bundles and a report."""

from __future__ import annotations

from pipeline.plan import Plan
from pipeline.run import Run
from pipeline.stage import Stage
from pipeline.stages.baseline import BASELINE
from pipeline.stages.derive import DERIVE
from pipeline.stages.export import EXPORT
from pipeline.stages.measure import MEASURE
from pipeline.stages.package import PACKAGE
from pipeline.stages.report import REPORT
from pipeline.stages.search import SEARCH
from pipeline.stages.tables import TABLES
from pipeline.stages.train import TRAIN

STAGES: tuple[Stage[Run], ...] = (TABLES, SEARCH, DERIVE, BASELINE, TRAIN, EXPORT, MEASURE, PACKAGE, REPORT)


def stages_of(plan: Plan) -> tuple[Stage[Run], ...]:
    """The stages that a plan asks for."""
    return tuple(stage for stage in STAGES if plan.baseline or stage is not BASELINE)
