"""Watching a search for its collapse into connections that compute nothing (arXiv:1909.09656)."""

from __future__ import annotations

from pipeline.architecture import Architecture

# Such choices dominate where they are more than this share.
DOMINANT = 0.5


def parameterless(architecture: Architecture) -> float:
    """The share of the choices without a parameter, such as identities and pools, among those that add an operation."""
    decided = zip(architecture.space.decisions, architecture.choices, strict=True)
    added = [decision.ops[choice] for decision, choice in decided if decision.ops[choice]]
    return sum(all(op.params == 0 for op in ops) for ops in added) / max(len(added), 1)


def told_of(share: float) -> str:
    """What a user should know where such choices dominate."""
    return (
        f"{share:.0%} of the choices have no parameters: where that is not what the budget asks for, the search "
        "collapses into skip connections; try more warmup_epochs, a lower alpha_learning_rate or other seeds"
    )
