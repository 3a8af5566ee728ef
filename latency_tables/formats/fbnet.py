r"""FBNet's and ChamNet's look-up tables (mobile_cv's runtime_lut): JSON lines, percentiles in microseconds.

    {"op_type": "Int8ConvRelu", "op_args": ["name: \"stride\"\ni: 2\n", …], "input_shapes": [[1, 224, 224, 3],
     [32, 3, 3, 3], [32]], "input_dtypes": [6, 6, 2], "runtime_us_p0": 950.0, …, "device": "SM-G950U-7.0-24"}

A row is one operator of Caffe2. Shapes are those of image, weights and bias; Int8 operators have channels last. Equals
of ours are convolutions of one group (batch normalisation folded into the bias; their own look-up takes one without
bias for the same), fully connected layers and global pools; a whole mbconv is no row. What counts is the median.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from statistics import NormalDist

from latency_tables.foreign import (
    ForeignRow,
    ForeignTable,
    Problem,
    RawRow,
    RowError,
    Unit,
    imported,
    numbers,
    read_rows,
    require_shape,
)
from latency_tables.table import Latency
from profilers.op_spec import OpSpec
from profilers.operations import Classifier, Conv, Pool
from profilers.precision import Precision
from profilers.protocol import Statistic
from profilers.shape import Shape
from profilers.target import Target

DESCRIPTION = "FBNet's and mobile_cv's JSON lines: percentiles in us, one operator of Caffe2 a line"
UNIT: Unit = "us"

_NAMES = ("op_type", "op_args", "input_shapes", "input_dtypes")
_TIMES = ("runtime_us_p0", "runtime_us_p10", "runtime_us_p50", "runtime_us_p90", "runtime_us_p100")
_FLOAT = 1  # Caffe2's number for float32
_PERCENTILES_APART = NormalDist().inv_cdf(0.9) - NormalDist().inv_cdf(0.1)  # p90 - p10 of a normal, deviations


def read(text: str) -> ForeignTable:
    return read_rows(_of_one_device(_raws(text)), "median", _row)


def _raws(text: str) -> Iterator[RawRow | Problem]:
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            pairs = json.loads(row, object_pairs_hook=tuple)
        except (ValueError, RecursionError) as error:
            yield Problem(kind="ragged", text=f"not JSON: {str(error)[:100]}", line=line, key=row[:60])
            continue
        yield _raw(line, row, pairs)


def _raw(line: int, row: str, pairs: object) -> RawRow | Problem:
    record = dict(pairs) if isinstance(pairs, tuple) else {}
    if len(record) != len(pairs if isinstance(pairs, tuple) else ()) or not record:
        return Problem(kind="ragged", text="no JSON object of fields, each given once", line=line, key=row[:60])
    missing = [name for name in _NAMES if name not in record]
    if missing:
        return Problem(kind="ragged", text=f"the row lacks {', '.join(missing)}", line=line, key=row[:60])
    key = json.dumps({name: record.pop(name) for name in _NAMES})
    return RawRow(line, key, record)


def _of_one_device(raws: Iterator[RawRow | Problem]) -> Iterator[RawRow | Problem]:
    """The rows of the first row's device; those of another are problems."""
    first: object = None
    for raw in raws:
        if isinstance(raw, RawRow) and isinstance(raw.fields.get("device"), str):
            device = raw.fields["device"]
            first = first or device
            if device != first:
                text = f"of device {str(device)[:60]}, the first row is of {str(first)[:60]}"
                yield Problem(kind="another target", text=text, line=raw.line, key=raw.key)
                continue
        yield raw


def _row(raw: RawRow) -> ForeignRow:
    op = op_of(raw.key)
    if not isinstance(raw.fields.get("device"), str):
        raise RowError("ragged", "device is missing or no text")
    times = {name: value for name, value in raw.fields.items() if name != "device"}
    least, p10, p50, p90, most = (value * 1e-3 for value in numbers(times, _TIMES))
    if min(least, p10, p50) <= 0:
        raise RowError("not positive", f"a time of {min(least, p10, p50):g} ms is not above zero")
    if any(low > high for low, high in pairwise((least, p10, p50, p90, most))):
        raise RowError("order", "its percentiles are not in order")
    # For normal times this is the standard deviation relative to the mean.
    latency = imported(median_ms=p50, p90_ms=p90, spread=(p90 - p10) / _PERCENTILES_APART / p50)
    precision: Precision = "int8" if '"op_type": "Int8' in raw.key else "fp32"
    return ForeignRow(line=raw.line, key=raw.key, op=op, latency=latency, precision=precision)


def op_of(key: str) -> OpSpec:
    record = json.loads(key)
    op_type, shapes = record["op_type"], _shapes(record["input_shapes"])
    args = _arguments(record["op_args"])
    if not isinstance(op_type, str):
        raise RowError("key", "op_type is no text")
    quantised = op_type.startswith("Int8")
    if not quantised and record["input_dtypes"] != [_FLOAT] * len(shapes):
        raise RowError("no operation", f"input_dtypes {record['input_dtypes']!s:.40}, which is not all float32")
    channels_last = args.get("order", "NHWC" if quantised else "NCHW") == "NHWC"
    if op_type in {"Conv", "Int8Conv", "Int8ConvRelu"}:
        return _conv(shapes, args, channels_last, relu=op_type == "Int8ConvRelu")
    if op_type in {"FC", "Int8FC"}:
        return _linear(shapes)
    if op_type in {"AveragePool", "Int8AveragePool"}:
        return _pool(shapes, args, channels_last)
    raise RowError("no operation", f"operator {op_type[:40]} alone is no operation of ours")


def _shapes(value: object) -> list[list[int]]:
    rows = value if isinstance(value, list) else []
    sizes = [size for row in rows if isinstance(row, list) for size in row]
    if not rows or not sizes or not all(isinstance(row, list) for row in rows) or not all(_is_size(s) for s in sizes):
        raise RowError("key", "input_shapes is no list of shapes")
    return rows


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9


def _arguments(value: object) -> dict[str, str]:
    """Name -> value of Caffe2's arguments, each a text of two lines, `name: "stride"` and `i: 2`; lists by spaces."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RowError("key", "op_args is no list of texts")
    arguments = {}
    for text in value:
        words = re.findall(r"(\w+): *(\"[^\"]*\"|\S+)", text)
        names = [word.strip('"') for field, word in words if field == "name"]
        if len(names) != 1:
            raise RowError("key", f"{text[:40]!r} is no argument of an operator")
        arguments[names[0]] = " ".join(word.strip('"') for field, word in words if field != "name")
    return arguments


def _conv(shapes: list[list[int]], args: Mapping[str, str], channels_last: bool, *, relu: bool) -> OpSpec:
    in_shape, weights = _image(shapes, channels_last), shapes[1] if len(shapes) > 1 else []
    require_shape(len(weights) == 4 and len(shapes) in {2, 3}, "a convolution has an image, weights and a bias")
    out, height, width, depth = weights if channels_last else [weights[0], *weights[2:], weights[1]]
    if args.get("group", "1") != "1" or args.get("dilation", "1") != "1":
        raise RowError("no operation", "no convolution of ours has groups or dilation")
    require_shape(depth == in_shape.channels, f"weights for {depth} channels, but the image has {in_shape.channels}")
    require_shape(shapes[2:] in ([], [[out]]), f"a bias for other than {out} channels")
    strides, pads = _sizes(args, "stride", "1"), _sizes(args, "pad", "0")
    if height != width or len(strides) > 1 or pads != {str(height // 2)} or not strides <= {"1", "2", "3", "4"}:
        raise RowError("no operation", "kernel, stride or padding that no convolution of ours has")
    return OpSpec(Conv(out, kernel=height, stride=int(min(strides)), act="relu" if relu else "none"), in_shape)


def _sizes(args: Mapping[str, str], name: str, default: str) -> set[str]:
    """What an argument says for either axis or side: `pad`, `pads`, `pad_t` and so on."""
    found = [value for key, value in args.items() if key in {name, f"{name}s"} or key.startswith(f"{name}_")]
    return {word for value in found for word in value.split()} or {default}


def _image(shapes: list[list[int]], channels_last: bool) -> Shape:
    image = shapes[0]
    require_shape(len(image) == 4 and image[0] == 1, f"{image!s:.40} is not the shape of one image")
    return Shape(image[1], image[2], image[3]) if channels_last else Shape(image[2], image[3], image[1])


def _linear(shapes: list[list[int]]) -> OpSpec:
    require_shape(len(shapes) == 3 and len(shapes[1]) == 2, "a fully connected layer has an input, weights and a bias")
    (out, features), sizes = shapes[1], [size for size in shapes[0] if size != 1]
    require_shape(sizes in ([features], []) and shapes[2] == [out], "input, weights and bias do not fit")
    require_shape(bool(sizes) or features == 1, "input and weights do not fit")
    return OpSpec(Classifier(out), Shape(1, 1, features))


def _pool(shapes: list[list[int]], args: Mapping[str, str], channels_last: bool) -> OpSpec:
    in_shape = _image(shapes, channels_last)
    whole = in_shape.height == in_shape.width and _sizes(args, "kernel", "0") == {str(in_shape.height)}
    if args.get("global_pooling") != "1" and not (whole and _sizes(args, "pad", "0") == {"0"}):
        raise RowError("no operation", "a pool that is not over the whole image")
    return OpSpec(Pool(), in_shape)


def key_of(op: OpSpec, precision: Precision) -> str | None:
    named = _words(op, precision) if precision in {"fp32", "int8"} else None
    if named is None:
        return None
    op_type, args, shapes = named
    texts = [f'name: "{name}"\n' + f"i: {value}\n" for name, value in sorted(args.items())]
    dtypes = [_FLOAT] * len(shapes) if precision == "fp32" else [6, 6, 2][: len(shapes)]  # uint8, and int32 of a bias
    return json.dumps(dict(zip(_NAMES, (op_type, texts, shapes, dtypes), strict=True)))


def _words(op: OpSpec, precision: Precision) -> tuple[str, dict[str, int], list[list[int]]] | None:
    """Operator, arguments and shapes."""
    operation, (height, width, channels) = op.operation, op.in_shape
    last = precision == "int8"
    prefix, image = ("Int8", [1, height, width, channels]) if last else ("", [1, channels, height, width])
    if isinstance(operation, Conv):
        kernel = operation.kernel
        weights = [operation.out, kernel, kernel, channels] if last else [operation.out, channels, kernel, kernel]
        args = {"kernel": kernel, "stride": operation.stride, "pad": kernel // 2}
        relu = "Relu" if last and operation.act == "relu" else ""
        return f"{prefix}Conv{relu}", args, [image, weights, [operation.out]]
    if isinstance(operation, Classifier):
        return f"{prefix}FC", {}, [[1, channels], [operation.out, channels], [operation.out]]
    return (f"{prefix}AveragePool", {"global_pooling": 1}, [image]) if isinstance(operation, Pool) else None


def write(entries: Mapping[str, Latency], statistic: Statistic, target: Target) -> str:
    return "".join(_line(key, latency, statistic, target) for key, latency in entries.items())


def _line(key: str, latency: Latency, statistic: Statistic, target: Target) -> str:
    p50 = latency.ms(statistic)
    p90 = max(p50, latency.p90_ms or p50 * (1 + latency.spread * _PERCENTILES_APART / 2))
    p10 = min(p50, max(p50 / 1e3, p90 - latency.spread * _PERCENTILES_APART * p50))
    times_us = (1e3 * value for value in (p10, p10, p50, p90, p90))
    return json.dumps({**json.loads(key), **dict(zip(_TIMES, times_us, strict=True)), "device": target.device}) + "\n"
