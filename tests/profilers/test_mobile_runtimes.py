"""Operations of mobile networks and of NASNet's frame as each runtime runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.runtimes import load_runtime

CHAIN = """
    validconv in=11x11x3 out=8 stride=1
    groupmbconv in=9x9x8 out=8 groups=2
    groupmbconv in=9x9x8 out=8 stride=2 expand=2 groups=4 first=always
    resblock in=5x5x8 out=12 wide=16 kernel=5 se=4
    resblock in=5x5x12 out=12 wide=4 conv=full project=always
    oblong in=5x5x12 out=6 stride=2
    oblong in=5x3x6 out=6 stride=2 along=column
    relu in=3x3x6
    pool in=3x3x6
    mix in=1x1x6 out=10
    classifier in=1x1x10 out=4
"""


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_what_is_exported_computes_what_pytorch_does(runtime: str, tmp_path: Path) -> None:
    graph = Graph.chain(OpSpec.parse(line) for line in CHAIN.strip().splitlines())
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module, images = graph.module().eval(), torch.randn(1, 3, 11, 11)
        expected = module(images)
    loaded = load_runtime(runtime)
    artifact = loaded.compile(module, images, tmp_path / f"model.{loaded.format}")
    torch.testing.assert_close(torch.from_numpy(loaded.run(artifact, images.numpy())), expected, atol=1e-5, rtol=1e-5)
