"""HW-NAS-Bench's tables of FBNet's space (arXiv:2103.10584): operation -> mean latency in ms, one device at a time.

    {"ConvBlock_H56_W56_Cin24_Cout32_exp6_kernel5_stride2_group1": 4.31, "FC_Cin1984_Cout1000": 0.5}

The benchmark ships pickles, which millis never loads; with the benchmark's own API a table becomes JSON:

    json.dump(HWNASBenchAPI("HW-NAS-Bench-v1_0.pickle", "fbnet").get_op_lookup_tables()["pixel3_latency"], file)

`exp` is a ratio, all activations are ReLU. `Skip` is the identity, or a strided 1x1 convolution where shapes change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from latency_tables.foreign import (
    ForeignRow,
    ForeignTable,
    Problem,
    RawRow,
    RowError,
    Unit,
    imported,
    number,
    read_rows,
    require_shape,
)
from latency_tables.table import Latency
from latency_tables.yaml_rows import ONLY, yaml_rows
from profilers.op_spec import OpSpec
from profilers.operations import Classifier, Conv, Identity, MBConv, Pool
from profilers.precision import Precision
from profilers.protocol import Statistic
from profilers.shape import Shape
from profilers.target import Target

DESCRIPTION = "HW-NAS-Bench's FBNet tables as JSON: one number an operation, in ms, exp is a ratio"
UNIT: Unit = "ms"

_IMAGE = ("H", "W", "Cin", "Cout")
KINDS = {
    "ConvNorm": (*_IMAGE, "kernel", "stride", "group"),
    "ConvBlock": (*_IMAGE, "exp", "kernel", "stride", "group"),
    "Skip": (*_IMAGE, "stride"),
    "AvgP": (*_IMAGE, "kernel", "stride"),
    "FC": ("Cin", "Cout"),
}


def read(text: str) -> ForeignTable:
    return read_rows(_without_free(yaml_rows(text)), "mean", _row)


def _without_free(raws: Iterator[RawRow | Problem]) -> Iterator[RawRow | Problem]:
    """Without the identities that cost nothing here either: they need no entry."""
    for raw in raws:
        zero = isinstance(raw, RawRow) and raw.key.startswith("Skip_") and raw.fields.get(ONLY) == 0
        if not (zero and isinstance(raw, RawRow) and _is_identity(raw.key)):
            yield raw


def _is_identity(key: str) -> bool:
    try:
        return isinstance(op_of(key).operation, Identity)
    except ValueError:
        return False


def _row(raw: RawRow) -> ForeignRow:
    op = op_of(raw.key)
    if ONLY not in raw.fields:
        raise RowError("ragged", "holds fields where one number should stand; give one table, of one device, at a time")
    latency = imported(mean_ms=number("the latency", raw.fields[ONLY]))
    if op.free:
        raise RowError("no operation", "costs something there; our identity leaves no layer and costs nothing")
    return ForeignRow(line=raw.line, key=raw.key, op=op, latency=latency)


def op_of(key: str) -> OpSpec:
    kind, sizes = _split_key(key)
    if sizes.get("group", 1) != 1:
        raise RowError("no operation", f"group {sizes['group']}: no operation of ours has groups")
    if kind == "FC":
        return OpSpec(Classifier(sizes["Cout"]), Shape(1, 1, sizes["Cin"]))
    in_shape = Shape(sizes["H"], sizes["W"], sizes["Cin"])
    if kind == "ConvNorm":
        operation = Conv(sizes["Cout"], kernel=sizes["kernel"], stride=sizes["stride"], act="relu")
        return OpSpec(operation, in_shape)
    if kind == "AvgP":
        return _pool(in_shape, sizes)
    return _block(in_shape, sizes) if kind == "ConvBlock" else _skip(in_shape, sizes)


def _split_key(key: str) -> tuple[str, dict[str, int]]:
    """Kind and sizes of `KIND_H56_W56_…`; raises RowError where they are not those of a kind."""
    kind, *words = key.split("_")
    if kind not in KINDS:
        raise RowError("key", f"no kind of row {kind[:40]!r}; there are {', '.join(KINDS)}")
    found = [re.fullmatch(r"([A-Za-z]+)([0-9]{1,9})", word) for word in words]
    sizes = {match[1]: int(match[2]) for match in found if match is not None}
    if tuple(sizes) != KINDS[kind] or len(words) != len(sizes):
        raise RowError("key", f"{kind} is named by {', '.join(KINDS[kind])}, each with a whole number")
    require_shape(min(sizes.values()) > 0, "a size of zero")
    return kind, sizes


def _pool(in_shape: Shape, sizes: Mapping[str, int]) -> OpSpec:
    require_shape(sizes["Cin"] == sizes["Cout"], f"a pool from {sizes['Cin']} to {sizes['Cout']} channels")
    if not in_shape.height == in_shape.width == sizes["kernel"]:
        raise RowError("no operation", f"a pool of {sizes['kernel']} on {in_shape}; ours is over the whole image")
    return OpSpec(Pool(), in_shape)


def _block(in_shape: Shape, sizes: Mapping[str, int]) -> OpSpec:
    if sizes["exp"] == 1:
        raise RowError("no operation", "exp1 keeps its first 1x1 convolution here; our mbconv of expansion 1 has none")
    if sizes["exp"] >= sizes["Cin"]:
        raise RowError("expansion", f"exp{sizes['exp']} looks like channels; in this format it is a ratio")
    kernel, stride = sizes["kernel"], sizes["stride"]
    return OpSpec(MBConv(sizes["Cout"], kernel=kernel, stride=stride, expand=sizes["exp"], act="relu"), in_shape)


def _skip(in_shape: Shape, sizes: Mapping[str, int]) -> OpSpec:
    if sizes["stride"] == 1 and sizes["Cin"] == sizes["Cout"]:
        return OpSpec(Identity(), in_shape)
    return OpSpec(Conv(sizes["Cout"], stride=sizes["stride"], act="relu"), in_shape)


def key_of(op: OpSpec, _: Precision) -> str | None:
    operation, (height, width, channels) = op.operation, op.in_shape
    image = f"H{height}_W{width}_Cin{channels}_Cout{op.out_shape.channels}"
    if isinstance(operation, Conv):
        return f"ConvNorm_{image}_kernel{operation.kernel}_stride{operation.stride}_group1"
    if isinstance(operation, MBConv):
        kernel = f"kernel{operation.kernel}_stride{operation.stride}"
        return f"ConvBlock_{image}_exp{operation.expand}_{kernel}_group1"
    if isinstance(operation, Pool):
        return f"AvgP_{image}_kernel{height}_stride1"
    return f"FC_Cin{channels}_Cout{operation.out}" if isinstance(operation, Classifier) else None


def write(entries: Mapping[str, Latency], statistic: Statistic, _: Target) -> str:
    return json.dumps({key: latency.ms(statistic) for key, latency in entries.items()}, indent=1) + "\n"
