"""Check this bundle: `python verify.py`. Python 3.8 or newer, nothing else.

Compares every file with its SHA-256 sum. Where numpy and a model's runtime are installed (onnxruntime, ai-edge-litert
or tflite-runtime), also runs the model on its golden inputs and compares what it gives with its golden outputs. Ends
with 1 where something is wrong. It finds damage, not malice: whoever changes files can change this one too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
# Devices and characters that Windows has no files for, and ends of names that it cuts off.
ODD_NAME = re.compile(
    r'(^|/)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.[^/]*)?(/|$)|[<>:"|?*\\\x00-\x1f]|[. ](/|$)',
    re.IGNORECASE,
)


def main() -> int:
    wrong = wrong_files()
    if wrong:
        print("\n".join(f"WRONG    {line}" for line in wrong))
        return 1
    manifest = json.loads((HERE / MANIFEST).read_text(encoding="utf-8"))
    print(f"ok       {len(manifest['files'])} files, every sha256 and size as listed")
    outcomes = [check_model(model) for model in manifest["models"]]
    print("\n".join(f"{outcome:<8} {line}" for outcome, line in outcomes))
    return int(any(outcome == "WRONG" for outcome, _ in outcomes))


def wrong_files() -> list[str]:
    """A line for each file that is missing, changed, unlisted, a link, or named as no file can be everywhere."""
    found, odd = scan()
    missing = [f"{name}: missing" for name in (MANIFEST, SUMS) if name not in found]
    if odd or missing:
        return [f"{name}: a link or a device, not a file" for name in odd] + missing
    misnamed = odd_names(found)
    if misnamed:
        return misnamed
    digests = {name: sha256(path) for name, path in found.items()}
    try:
        sums = read_sums()
        if sums.pop(MANIFEST, None) != digests[MANIFEST]:
            return [f"{MANIFEST}: its sha256 is not the one in {SUMS}", *differences(sums, digests)]
        listed = json.loads((HERE / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError) as error:
        return [f"{SUMS} or {MANIFEST}: not readable: {error!r}"]
    expected = {each["path"]: each["sha256"] for each in listed}
    wrong = differences(expected, digests)
    if sums != expected:
        wrong.append(f"{SUMS}: does not agree with {MANIFEST}")
    sizes = {each["path"]: each["size_bytes"] for each in listed if each["path"] in found}
    other = [name for name, size in sizes.items() if found[name].stat().st_size != size]
    return wrong + [f"{name}: its size is not the one listed" for name in other]


def scan() -> tuple[dict[str, Path], list[str]]:
    """Every file by its name, with forward slashes, and the names of all that is neither file nor folder."""
    paths = [Path(folder, name) for folder, folders, files in os.walk(HERE) for name in folders + files]
    names = {path.relative_to(HERE).as_posix(): path for path in sorted(paths)}
    odd = [name for name, path in names.items() if path.is_symlink() or not (path.is_file() or path.is_dir())]
    return {name: path for name, path in names.items() if path.is_file()}, odd


def odd_names(names: Iterable[str]) -> list[str]:
    """A line for each name that some system cannot hold, and for each two that are one file on some."""
    names = sorted(names)
    wrong = [f"{name!r}: no name for a file on Windows" for name in names if ODD_NAME.search(name)]
    spelled: dict[str, str] = {}
    for path in sorted({path.as_posix() for name in names for path in (Path(name), *Path(name).parents)}):
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
        first = spelled.setdefault(folded, path)
        if first != path:
            wrong.append(f"{path!r}: one file with {first!r} on macOS or Windows")
    return wrong


def read_sums() -> dict[str, str]:
    """Name -> sum, by SHA256SUMS: a sum, two spaces, a name on each line."""
    lines = (HERE / SUMS).read_bytes().decode().split("\n")
    if lines.pop() or not all(line[64:66] == "  " for line in lines):
        raise ValueError("a line that is not a sum, two spaces and a name")
    return {line[66:]: line[:64] for line in lines}


def differences(expected: dict[str, str], digests: dict[str, str]) -> list[str]:
    """A line for each file whose sum is not the expected one."""
    wrong = []
    for name in sorted({*expected, *digests} - {MANIFEST, SUMS}):
        if name not in digests:
            wrong.append(f"{name}: missing")
        elif name not in expected:
            wrong.append(f"{name}: not listed")
        elif digests[name] != expected[name]:
            wrong.append(f"{name}: its sha256 is not the one listed")
    return wrong


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def check_model(model: dict[str, Any]) -> tuple[str, str]:
    """What came of running a model on its golden inputs: ok, WRONG or skipped, and why."""
    golden, path = model["golden"], model["path"]
    if model["runtime"] not in RUNNERS:
        return "skipped", f"{path}: nothing here runs {model['runtime']} files"
    try:
        import numpy as np

        run = RUNNERS[model["runtime"]](str(HERE / path), model["inputs"][0]["name"])
    except ImportError as error:
        return "skipped", f"{path}: not run: {error}"
    images, expected = (
        np.fromfile(str(HERE / golden[side]["path"]), "<f4").reshape(golden[side]["shape"])
        for side in ("inputs", "outputs")
    )
    size = model["inputs"][0]["shape"][0]
    found = np.concatenate([run(images[first : first + size]) for first in range(0, len(images), size)])
    difference = float(abs(found - expected).max())
    told = f"{path}: {len(images)} images, off by {difference:.3g} of {golden['tolerance']:.3g} allowed"
    return ("ok" if difference <= golden["tolerance"] else "WRONG"), told


def onnxruntime_runner(path: str, name: str) -> Callable[[Any], Any]:
    """A function from a batch to what the model gives for it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {name: batch})[0]


def litert_runner(path: str, _name: str) -> Callable[[Any], Any]:
    """A function from a batch to what the model gives for it, by whichever interpreter is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()

    def run(batch: Any) -> Any:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


RUNNERS = {"onnxruntime": onnxruntime_runner, "litert": litert_runner}


if __name__ == "__main__":
    sys.exit(main())
