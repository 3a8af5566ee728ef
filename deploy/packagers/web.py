"""The web: a static page that classifies in the visitor's browser, the runtime that it needs beside it."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.manifest import Manifest, Model, as_document
from deploy.packager import BundleContents, Files, Packager
from deploy.sums import checksums, sha256
from profilers.browser.libraries import PACKAGES, PAGE, library_version, require_installed

_TEMPLATES = Path(__file__).parents[1] / "templates" / "web"
_MODULES = ("camera", "image", "latency", "litert", "main", "offline", "onnxruntime", "probabilities", "verify", "view")
_LIBRARY = "libraries"
_LICENCES = {"litert": "Apache-2.0.txt", "onnxruntime": "MIT.txt"}


def library_files(model: Model) -> tuple[str, ...]:
    """What of its runtime a page loads to run a model, in the folder of the libraries.

    A browser loads one of LiteRT's builds, of 9 MB each: without relaxed SIMD the one for it, as Safari; the one with
    threads only where the model was measured with several, and the server isolates the page.
    """
    if model.runtime == "onnxruntime":
        names = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
        return tuple(f"onnxruntime-web/dist/{name}" for name in names)
    threads = model.measured[0].threads if model.measured else 1
    builds = ("", "compat_", "threaded_") if threads > 1 else ("", "compat_")
    wasm = (f"@litertjs/core/wasm/litert_wasm_{build}internal.{kind}" for build in builds for kind in ("js", "wasm"))
    return ("@litertjs/core/dist/index.js", "@litertjs/wasm-utils/dist/index.js", *wasm)


def _more_files(contents: BundleContents, manifest: Manifest) -> Files:
    """The runtime with its licence, the profilers' timing loop, and the script that keeps all of it in the browser.

    Raises DeviceError, naming the command that installs it, where the runtime is not there.
    """
    installed = require_installed()
    names = library_files(manifest.model)
    files = {f"{_LIBRARY}/{name}": (installed / name).read_bytes() for name in names}
    files[f"{_LIBRARY}/LICENSE.txt"] = _licence(manifest.model.runtime)
    files["page/timing.js"] = (PAGE / "timing.js").read_bytes()
    return {**files, "sw.js": _service_worker(files, contents, manifest)}


def _licence(runtime: str) -> bytes:
    told = f"{PACKAGES[runtime]}: the files in this folder are of {library_version(runtime)}, from npm.\n\n"
    return told.encode() + (_TEMPLATES / "licences" / _LICENCES[runtime]).read_bytes()


def _service_worker(files: Files, contents: BundleContents, manifest: Manifest) -> bytes:
    """The script, with a version that no other contents of the bundle have: a browser looks at nothing else."""
    digests = {name: sha256(data) for name, data in files.items()}
    digests |= {source: sha256((_TEMPLATES.parent / source).read_bytes()) for source in PACKAGER.templates.values()}
    digests |= {name: variant.artifact.sha256 for name, variant in contents.variants.items()}
    digests["manifest"] = sha256(json.dumps(as_document(manifest)).encode())
    digests["labels"] = sha256("\n".join(contents.labels).encode())
    version = sha256(checksums(digests).encode())[:16]
    return f'const VERSION = "{version}";\n'.encode() + (_TEMPLATES / "sw.js").read_bytes()


PACKAGER = Packager(
    name="web",
    summary="a static page for any browser, with LiteRT.js or ONNX Runtime Web: images or the camera, also offline",
    runtimes=("litert", "onnxruntime"),
    precisions=("fp32", "fp16", "int8"),
    model=lambda variant, is_main: f"model-{variant.precision}.{variant.artifact.format}",
    labels="labels.txt",
    golden="golden",
    templates={
        "index.html": "web/index.html",
        "page/style.css": "web/page/style.css",
        **{f"page/{name}.js": f"web/page/{name}.js" for name in _MODULES},
        "serve.py": "web/serve.py",
        "README.md": "web/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
    devices=("browser", "local"),
    single=True,
    more_files=_more_files,
    require=require_installed,
)
