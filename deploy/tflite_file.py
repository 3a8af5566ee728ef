"""A LiteRT file taken apart and put together again, with its weights where LiteRT wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatbuffers import Builder

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # the schema's force_align of a buffer, which Python's code for it leaves out


def taken_apart(model: bytes) -> Any:
    """The objects of the TFLite schema, a ModelT; weights that lie behind the flatbuffer stand in their buffers."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(model)


def put_together(model: Any) -> bytes:
    """The file of a ModelT; equal models give equal bytes."""
    from flatbuffers import Builder

    model.buffers = [_Aligned(buffer) for buffer in model.buffers]
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def add_buffer(model: Any, data: bytes) -> int:
    """Add a buffer to a ModelT; returns its number."""
    from ai_edge_litert.schema_py_generated import BufferT

    model.buffers.append(BufferT(data=data))
    return len(model.buffers) - 1


@dataclass(frozen=True, slots=True)
class _Aligned:
    """A buffer that is written to a multiple of 16 bytes."""

    buffer: Any

    def Pack(self, builder: Builder) -> int:  # noqa: N802 - the schema's objects call it so
        import numpy as np

        data = self.buffer.data
        if data is not None:
            # As one array: item by item it takes minutes.
            self.buffer.data = np.frombuffer(bytes(data), np.uint8)
            builder.Prep(_ALIGNMENT, len(data))
        packed: int = self.buffer.Pack(builder)
        return packed
