"""The verify.py inside every bundle, run as those run it who have nothing of ours."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.bundle import VERIFIER, Bundle
from deploy.manifest import MANIFEST
from deploy.sums import SUMS

Forge = Callable[[Path, Callable[[dict[str, Any]], None]], None]
BARE = ("-I", "-S", "-B")  # no packages, no settings of the user's


def _verify(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, str(folder / VERIFIER)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_with_the_runtimes_it_runs_every_model(bundle: Bundle) -> None:
    ended = _verify(bundle.folder, "-I")
    assert ended.returncode == 0
    files, *models = ended.stdout.splitlines()
    assert files == f"ok       {len(bundle.manifest.files)} files, every sha256 and size as listed"
    assert [line.split(":")[0] for line in models] == [f"ok       {model.path}" for model in bundle.manifest.models]


def test_bare_python_checks_the_files_and_says_what_it_cannot_run(bundle: Bundle) -> None:
    ended = _verify(bundle.folder, *BARE)
    assert (ended.returncode, ended.stderr) == (0, "")
    _, *models = ended.stdout.splitlines()
    assert all("not run: No module named 'numpy'" in line and line.startswith("skipped") for line in models)


def test_it_needs_nothing_but_the_standard_library_of_python_3_8() -> None:
    import deploy

    source = (Path(deploy.__file__).parent / "templates" / VERIFIER).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    outside = {"numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime"}
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & outside
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_a_byte_flipped_at_random_places_is_found_and_the_file_named(server: Bundle) -> None:
    places = random.Random(6)
    files = sorted(path for path in server.folder.rglob("*") if path.is_file() and path.name != VERIFIER)
    for path in places.choices(files, k=20):
        position = places.randrange(path.stat().st_size)
        _flip(path, position)
        ended = _verify(server.folder, *BARE)
        assert ended.returncode == 1
        assert str(path.relative_to(server.folder)) in ended.stdout
        assert "Traceback" not in ended.stderr
        _flip(path, position)


def test_missing_unlisted_and_linked_files_are_named(server: Bundle, tmp_path: Path) -> None:
    (server.folder / "labels.txt").unlink()
    (server.folder / "notes.txt").write_text("mine")
    ended = _verify(server.folder, *BARE)
    assert ended.stdout.splitlines() == ["WRONG    labels.txt: missing", "WRONG    notes.txt: not listed"]
    (server.folder / "labels.txt").symlink_to(tmp_path)
    assert _verify(server.folder, *BARE).stdout == "WRONG    labels.txt: a link or a device, not a file\n"


@pytest.mark.parametrize("name", [MANIFEST, SUMS])
def test_without_its_lists_it_says_so(server: Bundle, name: str) -> None:
    (server.folder / name).unlink()
    ended = _verify(server.folder, *BARE)
    assert (ended.returncode, ended.stdout) == (1, f"WRONG    {name}: missing\n")


def test_golden_outputs_that_the_model_does_not_give_are_wrong(server: Bundle, forge_outputs: str) -> None:
    ended = _verify(server.folder, "-I")
    assert ended.returncode == 1
    assert f"WRONG    {forge_outputs}: 4 images, off by" in ended.stdout


@pytest.fixture
def forge_outputs(server: Bundle, forge: Forge) -> str:
    """The path of a model whose golden outputs are not what it gives."""
    int8, _ = server.manifest.models
    (server.folder / int8.golden.outputs.path).write_bytes(bytes(160))
    forge(server.folder, lambda document: None)
    return int8.path
