"""Once-for-All's tables (arXiv:1908.09791), one per resolution: YAML, means in ms, `expand` the expanded *channels*.

    expanded_conv-input:56x56x32-output:28x28x48-expand:128-kernel:5-stride:2-idskip:0-se:1-hs:0:
      count: 500
      mean: 2.1
      std: 0.02

`hs` is h-swish against ReLU, `se` squeeze-excite of a quarter of the expanded channels, rounded to eights. `Conv` is
the 3x3 stem and `Conv_1` the 1x1 expansion of the head, `AvgPool2D` its pool, `Conv_2` the 1x1 feature mix and `Logits`
the linear layer, on 1x1; the activations of stem and head are h-swish.
"""

from __future__ import annotations

from collections.abc import Mapping

from latency_tables.foreign import (
    ForeignRow,
    ForeignTable,
    RawRow,
    RowError,
    Unit,
    count,
    imported,
    numbers,
    read_rows,
    relative,
)
from latency_tables.formats.proxylessnas import (
    BLOCK,
    LARGEST_RATIO,
    LAYER,
    block,
    block_key,
    checked,
    classifier,
    conv,
    join_key,
    shape,
    split_key,
    whole,
)
from latency_tables.table import Latency
from latency_tables.yaml_rows import yaml_rows
from profilers.mobile_ops import Mix
from profilers.op_spec import OpSpec
from profilers.operations import Classifier, Conv, MBConv, Pool
from profilers.precision import Precision
from profilers.protocol import Statistic
from profilers.shape import make_divisible
from profilers.target import Target

DESCRIPTION = "Once-for-All YAML: means in ms, expand is a number of channels"
UNIT: Unit = "ms"

KINDS = {
    "Conv": LAYER,
    "Conv_1": LAYER,
    "Conv_2": LAYER,
    "AvgPool2D": LAYER,
    "Logits": LAYER,
    "expanded_conv": (*BLOCK, "se", "hs"),
}


def read(text: str) -> ForeignTable:
    return read_rows(yaml_rows(text), "mean", _row)


def _row(raw: RawRow) -> ForeignRow:
    op = op_of(raw.key)
    samples, mean, deviation = numbers(raw.fields, ("count", "mean", "std"))
    spread = relative("std", deviation, mean)
    latency = imported(mean_ms=mean, spread=spread, samples=count("count", samples))
    return ForeignRow(line=raw.line, key=raw.key, op=op, latency=latency)


def op_of(key: str) -> OpSpec:
    kind, words = split_key(key, KINDS)
    if kind == "expanded_conv":
        return _block(words)
    if kind == "Logits":
        return classifier(words)
    if kind == "AvgPool2D":
        return checked(OpSpec(Pool(), shape("input", words["input"])), shape("output", words["output"]))
    if kind == "Conv_2":
        in_shape, out_shape = shape("input", words["input"]), shape("output", words["output"])
        return checked(OpSpec(Mix(out_shape.channels), in_shape), out_shape)
    return conv(words, kernel=3 if kind == "Conv" else 1, act="hswish")


def _block(words: Mapping[str, str]) -> OpSpec:
    channels, middle = shape("input", words["input"]).channels, whole("expand", words["expand"])
    if middle < channels or middle <= LARGEST_RATIO:
        raise RowError("expansion", f"expand {middle} looks like a ratio; in this format it is a number of channels")
    if middle % channels:
        raise RowError("expansion", f"expand {middle} is no multiple of the {channels} channels that are expanded")
    flags = {name: whole(name, words[name]) for name in ("se", "hs")}
    for name, flag in flags.items():
        if flag not in {0, 1}:
            raise RowError("key", f"{name} {flag} is neither 0 nor 1")
    act, se = "hswish" if flags["hs"] else "relu", make_divisible(middle // 4) if flags["se"] else 0
    return block(words, expand=middle // channels, act=act, se=se)  # type: ignore[arg-type]


def key_of(op: OpSpec, _: Precision) -> str | None:
    operation = op.operation
    if isinstance(operation, Conv):
        return join_key("Conv_1" if operation.kernel == 1 else "Conv", op)
    if isinstance(operation, Mix):
        return join_key("Conv_2", op)
    if isinstance(operation, Pool):
        return join_key("AvgPool2D", op)
    if isinstance(operation, Classifier):
        return join_key("Logits", op)
    if isinstance(operation, MBConv):
        flags = f"se:{int(operation.se > 0)}-hs:{int(operation.act == 'hswish')}"
        return f"{block_key(op, operation.expand * op.in_shape.channels)}-{flags}"
    return None


def write(entries: Mapping[str, Latency], statistic: Statistic, target: Target) -> str:
    import yaml

    rows = {
        key: {"count": max(1, each.samples), "mean": each.ms(statistic), "std": each.spread * each.ms(statistic)}
        for key, each in entries.items()
    }
    return f"# {target}: {statistic} of each operation, ms\n" + yaml.safe_dump(rows, sort_keys=False, width=1000)
