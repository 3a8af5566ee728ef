"""The stages of a language run, in order: from a recipe to files of a step and a report."""

from __future__ import annotations

from pipeline.recurrent.plan import LanguagePlan, LanguageRun
from pipeline.stage import Stage


def stages_of(plan: LanguagePlan) -> tuple[Stage[LanguageRun], ...]:
    """The stages that a plan asks for."""
    from pipeline.recurrent.stages.baseline import BASELINE
    from pipeline.recurrent.stages.export import EXPORT
    from pipeline.recurrent.stages.measure import MEASURE
    from pipeline.recurrent.stages.report import REPORT
    from pipeline.recurrent.stages.search import SEARCH
    from pipeline.recurrent.stages.train import TRAIN
    from pipeline.stages.derive import DERIVE
    from pipeline.stages.tables import TABLES

    stages = (TABLES, SEARCH, DERIVE, BASELINE, TRAIN, EXPORT, MEASURE, REPORT)
    return tuple(stage for stage in stages if plan.baseline or stage is not BASELINE)
