"""Choices where rules keep some decisions and drop others: the best of them, random ones, how many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, combinations
from random import Random

from pipeline.space import NONE, Decision, Rule, SearchSpace, SpaceError

Scores = Sequence[Sequence[float]]  # of the labels of each decision


def check_rules(decisions: Sequence[Decision], rules: Sequence[Rule]) -> None:
    """Raise SpaceError where two rules tell of one decision, of one without NONE, or keep more than there are."""
    places = [place for rule in rules for place in rule.decisions]
    if len(set(places)) < len(places):
        raise SpaceError("two rules tell of the same decision")
    for place in places:
        decisions[place].index(NONE)
    for rule in rules:
        if not 0 <= rule.kept <= len(rule.decisions):
            raise SpaceError(f"a rule keeps {rule.kept} of {len(rule.decisions)} decisions")


def check_choices(space: SearchSpace, choices: Sequence[int]) -> None:
    """Raise SpaceError where choices are not one label for each decision, or break a rule."""
    decisions = space.decisions
    if len(choices) != len(decisions):
        raise SpaceError(f"{space.name}: {len(choices)} choices for {len(decisions)} decisions")
    for choice, decision in zip(choices, decisions, strict=True):
        if not 0 <= choice < len(decision.labels):
            raise SpaceError(f"{decision.name}: choice {choice} of {len(decision.labels)} candidates")
    for rule in space.rules:
        kept = sum(decisions[place].labels[choices[place]] != NONE for place in rule.decisions)
        if kept != rule.kept:
            names = ", ".join(decisions[place].name for place in rule.decisions)
            raise SpaceError(f"{names}: {kept} of them are kept; {space.name} keeps {rule.kept}")


def ruled(space: SearchSpace) -> frozenset[int]:
    """The places of the decisions that rules keep or drop."""
    return frozenset(chain.from_iterable(rule.decisions for rule in space.rules))


def kept_labels(decision: Decision) -> list[int]:
    """The labels of keeping a decision."""
    return [place for place, label in enumerate(decision.labels) if label != NONE]


def count_choices(space: SearchSpace) -> int:
    """How many choices keep to the rules."""
    decisions, bound = space.decisions, ruled(space)
    free = (len(decision.labels) for place, decision in enumerate(decisions) if place not in bound)
    return math.prod(free) * math.prod(
        sum(_ways(decisions, kept) for kept in combinations(rule.decisions, rule.kept)) for rule in space.rules
    )


def open_labels(space: SearchSpace, rng: Random) -> list[Sequence[int]]:
    """Of each decision the labels left to choose from, once it is drawn which ones the rules keep.

    A uniform draw from the labels of each then is uniform over the space.
    """
    decisions = space.decisions
    labels: list[Sequence[int]] = [range(len(decision.labels)) for decision in decisions]
    for rule in space.rules:
        ways = list(combinations(rule.decisions, rule.kept))
        kept = rng.choices(ways, [_ways(decisions, each) for each in ways])[0]
        for place in rule.decisions:
            decision = decisions[place]
            labels[place] = kept_labels(decision) if place in kept else [decision.index(NONE)]
    return labels


def best_choices(space: SearchSpace, scores: Scores) -> tuple[int, ...]:
    """The choices of the largest total score, ties to what comes first; dropping a decision by a rule scores nothing.

    With the logarithms of a softmax as scores this is how DARTS derives (arXiv:1806.09055, section 2.4): of the edges
    into a node those with the strongest operation that is not none.
    """
    choices = [max(range(len(row)), key=row.__getitem__) for row in scores]
    for rule in space.rules:
        for place in rule.decisions:
            choices[place] = max(kept_labels(space.decisions[place]), key=scores[place].__getitem__)
        ranked = sorted(rule.decisions, key=lambda place: -scores[place][choices[place]])
        for place in ranked[rule.kept :]:
            choices[place] = space.decisions[place].index(NONE)
    return tuple(choices)


def _ways(decisions: Sequence[Decision], kept: Sequence[int]) -> int:
    return math.prod(len(decisions[place].labels) - 1 for place in kept)
