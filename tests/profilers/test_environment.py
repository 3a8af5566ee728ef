from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.environment import Environment
from profilers.errors import EnvironmentMismatchError

FACTS = st.dictionaries(st.sampled_from(["cpu", "governor", "threads", "os"]), st.sampled_from(["a", "b"]))


@given(FACTS)
def test_an_environment_agrees_with_itself(facts: dict[str, str]) -> None:
    Environment(facts).require_same(Environment(dict(facts)), what="table")


@given(FACTS, FACTS)
def test_exactly_the_facts_that_differ_are_named(facts: dict[str, str], others: dict[str, str]) -> None:
    differing = [name for name in {*facts, *others} if facts.get(name) != others.get(name)]
    if not differing:
        return
    with pytest.raises(EnvironmentMismatchError, match=r"^table: measured under other conditions: ") as refused:
        Environment(facts).require_same(Environment(others), what="table")
    told = str(refused.value).removeprefix("table: measured under other conditions: ").split("; ")
    assert {fact.split()[0] for fact in told} == set(differing)


def test_a_fact_that_one_side_lacks_is_unknown_there() -> None:
    with pytest.raises(EnvironmentMismatchError, match="governor 'performance' against 'unknown'"):
        Environment({"governor": "performance"}).require_same(Environment({}), what="table")
