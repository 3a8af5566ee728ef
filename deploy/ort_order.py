"""One order for what ONNX Runtime writes into an .ort file in another order every time.

That is the table of which kernels take which types, held in a hash table with a random seed. It stands before the model
itself, which is kept byte for byte. The schema: onnxruntime/core/flatbuffers/schema/ort.fbs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_IDENTIFIER = b"ORTM"
_ALIGNMENT = 16  # of what the model holds, at most; counted from the end of the file


def ordered(data: bytes) -> bytes:
    """The same .ort file whatever order its kernels were in."""
    import flatbuffers
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import InferenceSession, KernelTypeStrResolver

    session = InferenceSession.InferenceSession.GetRootAs(data, 0)
    model = _from_end(session, 6)
    tail = _model(session, data)
    builder = flatbuffers.Builder(len(tail))
    builder.Bytes[:] = tail
    builder.head, builder.minalign = 0, _ALIGNMENT
    entries = [_operation(builder, *each) for each in sorted(_operations(session.KernelTypeStrResolver()))]
    vector = _vector(builder, KernelTypeStrResolver.StartOpKernelTypeStrArgsVector, entries)
    KernelTypeStrResolver.Start(builder)
    KernelTypeStrResolver.AddOpKernelTypeStrArgs(builder, vector)
    resolver = KernelTypeStrResolver.End(builder)
    InferenceSession.Start(builder)
    InferenceSession.AddOrtVersion(builder, _from_end(session, 4))
    InferenceSession.AddModel(builder, model)
    InferenceSession.AddKernelTypeStrResolver(builder, resolver)
    builder.Finish(InferenceSession.End(builder), _IDENTIFIER)
    return bytes(builder.Output())


Types = tuple[str, tuple[tuple[int, int], ...]]  # a type's name, and each (input or output, number) that is of it


def _operations(resolver: Any) -> Iterable[tuple[str, tuple[Types, ...]]]:
    """Each operation with its types by name."""
    for entry in map(resolver.OpKernelTypeStrArgs, range(resolver.OpKernelTypeStrArgsLength())):
        types = map(entry.KernelTypeStrArgs, range(entry.KernelTypeStrArgsLength()))
        yield entry.OpId().decode(), tuple(sorted(map(_types, types)))


def _types(entry: Any) -> Types:
    arguments = map(entry.Args, range(entry.ArgsLength()))
    return entry.KernelTypeStr().decode(), tuple((each.ArgType(), each.Index()) for each in arguments)


def _operation(builder: Any, name: str, types: tuple[Types, ...]) -> int:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import OpIdKernelTypeStrArgsEntry as Entry

    vector = _vector(builder, Entry.StartKernelTypeStrArgsVector, [_type(builder, *each) for each in types])
    text = builder.CreateString(name)
    Entry.Start(builder)
    Entry.AddOpId(builder, text)
    Entry.AddKernelTypeStrArgs(builder, vector)
    return int(Entry.End(builder))


def _type(builder: Any, name: str, arguments: tuple[tuple[int, int], ...]) -> int:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import ArgTypeAndIndex
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import KernelTypeStrArgsEntry as Entry

    made = []
    for kind, number in arguments:
        ArgTypeAndIndex.Start(builder)
        ArgTypeAndIndex.AddArgType(builder, kind)
        ArgTypeAndIndex.AddIndex(builder, number)
        made.append(ArgTypeAndIndex.End(builder))
    vector = _vector(builder, Entry.StartArgsVector, made)
    text = builder.CreateString(name)
    Entry.Start(builder)
    Entry.AddKernelTypeStr(builder, text)
    Entry.AddArgs(builder, vector)
    return int(Entry.End(builder))


def _vector(builder: Any, start: Callable[[Any, int], object], entries: list[int]) -> int:
    start(builder, len(entries))
    for entry in reversed(entries):
        builder.PrependUOffsetTRelative(entry)
    return int(builder.EndVector())


def _from_end(session: Any, field: int) -> int:
    """Where what a field points to lies, in bytes before the end of the file."""
    table = session._tab  # noqa: SLF001 - nothing public tells where things lie
    return len(table.Bytes) - int(table.Indirect(table.Pos + table.Offset(field)))


def _model(session: Any, data: bytes) -> bytes:
    """All from the model's table on, or from the description of its fields where that stands before it."""
    import struct

    place = len(data) - _from_end(session, 6)
    [back] = struct.unpack_from("<i", data, place)
    return data[min(place, place - back) :]
