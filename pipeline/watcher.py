"""Whoever watches a long piece of work."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Told how far each part has come, and what a user should know or do meanwhile."""

    def progress(self, part: str, done: int, planned: int) -> None: ...

    def note(self, text: str) -> None: ...
