"""Which network? Spaces, architectures, search, training, runs, reports, the command line."""

from __future__ import annotations

from pipeline.architecture import Architecture
from pipeline.budget import Budget, BudgetError, Goal
from pipeline.derivation import derive
from pipeline.plan import Plan, load_recipe
from pipeline.published import PUBLISHED, load_network
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchResult, SearchTask
from pipeline.space import Chain, Decision, Layer, SearchSpace, SpaceError
from pipeline.spaces import SPACES, parse_space
from pipeline.strategies import STRATEGIES

__all__ = [
    "PUBLISHED",
    "SPACES",
    "STRATEGIES",
    "Architecture",
    "Budget",
    "BudgetError",
    "Chain",
    "Decision",
    "Goal",
    "Layer",
    "Plan",
    "SearchResult",
    "SearchSettings",
    "SearchSpace",
    "SearchTask",
    "SpaceError",
    "derive",
    "load_network",
    "load_recipe",
    "parse_space",
]
