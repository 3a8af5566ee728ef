"""A run: a plan and the folder where its stages leave what they made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from latency_tables.table import LatencyTable
from pipeline.architecture import Architecture
from pipeline.budget import Goal
from pipeline.plan import Plan, TargetPlan
from pipeline.run_tables import goals_of, table_of, table_path
from pipeline.search_task import SearchTask
from pipeline.space import SearchSpace, SpaceError
from pipeline.spaces import parse_space
from pipeline.watcher import Watcher

if TYPE_CHECKING:
    from deploy.kind import Kind
    from pipeline.data import Data
    from profilers.compile_cache import CompileJob
    from profilers.graph import Graph


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where everything of a run lies. Files are read when asked for."""

    folder: Path
    plan: Plan
    watch: Watcher
    download: bool = False

    @cached_property
    def space(self) -> SearchSpace:
        return parse_space(self.plan.space)

    @cached_property
    def data(self) -> Data:
        """The data, resized to the space's resolution; raises SpaceError where channels or classes differ."""
        from pipeline.data import load_data

        shape = self.space.input_shape
        root = Path(self.plan.data_root) if self.plan.data_root else None
        data = load_data(
            self.plan.data, resolution=shape.height, root=root, download=self.download, seed=self.plan.seed
        )
        if data.shape != shape or len(data.classes) != self.space.classes:
            wanted = f"channels={data.shape.channels}&classes={len(data.classes)}"
            raise SpaceError(
                f"space {self.space.name} takes {shape} images of {self.space.classes} classes, but {data.name} has "
                f"{data.shape} images of {len(data.classes)}; write {self.space.name.partition('?')[0]}?{wanted}"
            )
        return data

    @property
    def data_facts(self) -> str:
        """How many images there are for what; raises what `data` does."""
        data = self.data
        return (
            f"{data.name}: {len(data.weights)} images to train on, {len(data.architecture)} to choose the architecture "
            f"by, {len(data.test)} to test on"
        )

    def table_path(self, target: TargetPlan) -> Path:
        return table_path(self.folder, target)

    def table(self, target: TargetPlan) -> LatencyTable:
        """The table of a target; raises FileError where it was measured on another one."""
        return table_of(self.folder, target)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """The budgets in ms; raises MissingOpError where a table does not cover the space."""
        return goals_of(self.folder, self.plan.targets, self.space)

    def goal(self, target: TargetPlan) -> Goal:
        """The goal that a target of the plan stands for."""
        return self.goals[self.plan.targets.index(target)]

    def file_job(self, graph: Graph, kind: Kind) -> CompileJob:
        """How the file is compiled whose latency is to keep the budget, with seeded weights."""
        from pipeline.shipping import shipped_job

        return shipped_job(graph, kind)

    def search_task(self) -> SearchTask:
        return SearchTask(
            space=self.space,
            data=self.data,
            goals=self.goals,
            settings=self.plan.search,
            seed=self.plan.seed,
            folder=self.folder / "search",
        )

    @property
    def architecture_path(self) -> Path:
        return self.folder / "architecture.json"

    @property
    def weights_path(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def search_result_path(self) -> Path:
        return self.folder / "search" / "result.json"

    def architecture(self) -> Architecture:
        return Architecture.load(self.architecture_path)
