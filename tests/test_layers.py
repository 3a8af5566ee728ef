"""The shape of the project: imports point left, the top level holds what it should, the command line starts light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOTTED = re.compile(r"\w+(\.\w+)+")
CHECKOUT = Path(__file__).resolve().parents[1]
LAYERS = ("profilers", "latency_tables", "deploy", "pipeline")  # left to right
TOP_LEVEL = {
    *LAYERS,
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "tests",
}
HEAVY = {
    "PIL",
    "ai_edge_litert",
    "jinja2",
    "litert_torch",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "pydantic",
    "scipy",
    "sklearn",
    "tensorboard",
    "torch",
    "torchvision",
}
MODULES = sorted(path.relative_to(CHECKOUT) for layer in LAYERS for path in (CHECKOUT / layer).rglob("*.py"))


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and name of every module that a source imports, wherever it does, and of every one it names in a string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            yield node.lineno, ".".join([*parents, node.module or ""])
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+(\.\w+)+", node.value)
        ):
            yield node.lineno, node.value


def to_the_right(source: str, package: str) -> list[str]:
    """The imports of a source in `package` that point to a layer right of its own."""
    right = LAYERS[LAYERS.index(layer_of(package)) + 1 :]
    return [f"{line}: {name}" for line, name in imported(source, package) if layer_of(name) in right]


def layer_of(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_left(module: Path) -> None:
    assert to_the_right((CHECKOUT / module).read_text(), ".".join(module.parent.parts)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pipeline",
        "import os, pipeline.cli as cli",
        "from deploy.bundle import Bundle",
        "def f():\n    from latency_tables import LatencyTable",
        "if TYPE_CHECKING:\n    import pipeline.report",
        "import_module('pipeline.report')",
    ],
)
def test_an_import_to_the_right_is_seen_wherever_it_hides(source: str) -> None:
    assert len(to_the_right(source, "profilers.runtimes")) == 1


@pytest.mark.parametrize("source", ["import profilers", "from . import table", "from .table import T", "'deploy/x.py'"])
def test_an_import_of_the_own_layer_or_one_to_the_left_is_none(source: str) -> None:
    assert to_the_right(source, "latency_tables") == []


def test_a_relative_import_is_resolved_against_its_package() -> None:
    assert list(imported("from ..cli import main", "pipeline.strategies")) == [(1, "pipeline.cli")]


def test_the_top_level_holds_exactly_what_is_documented() -> None:
    command = ["git", "-c", "safe.directory=*", "ls-files"]
    files = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {name.split("/")[0] for name in files} == TOP_LEVEL


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["import", "help"])
def test_the_command_line_starts_without_heavy_modules(arguments: list[str]) -> None:
    program = f"""
import sys
from pipeline.cli import main
sys.argv = ["millis", *{arguments}]
try:
    main() if {arguments} else None
except SystemExit:
    pass
print(*sorted({HEAVY} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stderr.split() == []
