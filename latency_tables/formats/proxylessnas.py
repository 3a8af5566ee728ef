"""ProxylessNAS's tables (arXiv:1812.00332): YAML, means in milliseconds, `expand` the ratio of the expansion.

    expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0:
      count: 164
      mean: 6.240567
      var: 0.073308

`Conv` is the 3x3 stem, `Conv_1` the 1x1 head, `Logits` all that follows it: pool and linear layer. All activations are
ReLU6. `var` is in ms².
"""

from __future__ import annotations

import re
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
    require_shape,
)
from latency_tables.table import Latency
from latency_tables.yaml_rows import yaml_rows
from profilers.op_spec import OpSpec
from profilers.operations import Activation, Classifier, Conv, MBConv
from profilers.precision import Precision
from profilers.protocol import Statistic
from profilers.shape import Shape
from profilers.target import Target

DESCRIPTION = "ProxylessNAS YAML: means in ms, expand is a ratio"
UNIT: Unit = "ms"

LAYER = ("input", "output")
BLOCK = (*LAYER, "expand", "kernel", "stride", "idskip")
KINDS = {"Conv": LAYER, "Conv_1": LAYER, "Logits": LAYER, "expanded_conv": BLOCK}
# No network expands further; a table that does holds channels.
LARGEST_RATIO = 10


def read(text: str) -> ForeignTable:
    return read_rows(yaml_rows(text), "mean", _row)


def _row(raw: RawRow) -> ForeignRow:
    op = op_of(raw.key)
    samples, mean, variance = numbers(raw.fields, ("count", "mean", "var"))
    if variance < 0:
        raise RowError("not positive", f"var {variance:g} is negative")
    spread = relative("var", variance**0.5, mean)
    latency = imported(mean_ms=mean, spread=spread, samples=count("count", samples))
    return ForeignRow(line=raw.line, key=raw.key, op=op, latency=latency)


def op_of(key: str) -> OpSpec:
    kind, words = split_key(key, KINDS)
    if kind == "Conv":
        return conv(words, kernel=3, act="relu6")
    if kind == "Conv_1":
        return conv(words, kernel=1, act="relu6")
    if kind == "Logits":
        return classifier(words)
    expand = whole("expand", words["expand"])
    if expand > LARGEST_RATIO:
        raise RowError("expansion", f"expand {expand} looks like channels; in this format it is a ratio")
    return block(words, expand=expand, act="relu6")


def key_of(op: OpSpec, _: Precision) -> str | None:
    operation = op.operation
    if isinstance(operation, Conv):
        return join_key("Conv_1" if operation.kernel == 1 else "Conv", op)
    if isinstance(operation, Classifier):
        return join_key("Logits", op)
    return block_key(op, operation.expand) if isinstance(operation, MBConv) else None


def write(entries: Mapping[str, Latency], statistic: Statistic, target: Target) -> str:
    import yaml

    rows = {
        key: {"count": max(1, each.samples), "mean": each.ms(statistic), "var": (each.spread * each.ms(statistic)) ** 2}
        for key, each in entries.items()
    }
    return f"# {target}: {statistic} of each operation, ms\n" + yaml.safe_dump(rows, sort_keys=False, width=1000)


# From here on what Once-for-All's tables share.


def split_key(key: str, kinds: Mapping[str, tuple[str, ...]]) -> tuple[str, dict[str, str]]:
    """Kind and words of `KIND-name:value-…`; raises RowError where they are not those of a kind."""
    kind, *pairs = key.split("-")
    if kind not in kinds:
        raise RowError("key", f"no kind of row {kind[:40]!r}; there are {', '.join(kinds)}")
    words = dict(pair.partition(":")[::2] for pair in pairs)
    if tuple(words) != kinds[kind] or len(pairs) != len(words):
        found = ", ".join(name[:20] for name in words) or "nothing"
        raise RowError("key", f"{kind} is named by {', '.join(kinds[kind])}, not by {found}")
    return kind, words


def whole(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise RowError("key", f"{name} {text[:20]!r} is not a whole number")
    return int(text)


def conv(words: Mapping[str, str], *, kernel: int, act: Activation) -> OpSpec:
    """A convolution whose stride is what its shapes say."""
    in_shape, out_shape = shape("input", words["input"]), shape("output", words["output"])
    stride = 1 if in_shape[:2] == out_shape[:2] or kernel == 1 else 2
    return checked(OpSpec(Conv(out_shape.channels, kernel=kernel, stride=stride, act=act), in_shape), out_shape)


def classifier(words: Mapping[str, str]) -> OpSpec:
    return OpSpec(Classifier(whole("output", words["output"])), shape("input", words["input"]))


def block(words: Mapping[str, str], *, expand: int, act: Activation, se: int = 0) -> OpSpec:
    in_shape, out_shape = shape("input", words["input"]), shape("output", words["output"])
    kernel, stride = whole("kernel", words["kernel"]), whole("stride", words["stride"])
    operation = MBConv(out_shape.channels, kernel=kernel, stride=stride, expand=expand, act=act, se=se)
    idskip = whole("idskip", words["idskip"])
    shortcut = operation.has_shortcut(in_shape)
    require_shape(idskip in {0, 1}, f"idskip {idskip} is neither 0 nor 1")
    require_shape(shortcut or not idskip, f"idskip 1 from {in_shape} to {out_shape} at stride {stride}")
    if shortcut and not idskip:
        raise RowError("no operation", "idskip 0 between equal shapes; our mbconv adds its input there")
    return checked(OpSpec(operation, in_shape), out_shape)


def shape(name: str, text: str) -> Shape:
    try:
        return Shape.parse(text)
    except ValueError as error:
        raise RowError("key", f"{name} {str(error)[:100]}") from None


def checked(op: OpSpec, out_shape: Shape) -> OpSpec:
    """`op`; raises RowError unless it gives that shape."""
    stride = f" at stride {op.operation.stride}" if isinstance(op.operation, Conv | MBConv) else ""
    require_shape(op.out_shape == out_shape, f"{op.in_shape}{stride} gives {op.out_shape}, not {out_shape}")
    return op


def join_key(kind: str, op: OpSpec) -> str:
    output = op.out_shape.channels if isinstance(op.operation, Classifier) else op.out_shape
    return f"{kind}-input:{op.in_shape}-output:{output}"


def block_key(op: OpSpec, expand: int) -> str:
    assert isinstance(op.operation, MBConv)
    shortcut = int(op.operation.has_shortcut(op.in_shape))
    numbers = f"expand:{expand}-kernel:{op.operation.kernel}-stride:{op.operation.stride}-idskip:{shortcut}"
    return f"{join_key('expanded_conv', op)}-{numbers}"
