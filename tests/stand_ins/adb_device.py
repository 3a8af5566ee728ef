"""The phone's end of adb for tests: speaks adb's protocol over TCP, so that the real client and server work with it.

Shells (v1 and v2) and file transfer (sync v1) of a `Phone`. It can be unplugged and plugged in again, on the same port.
`python -m tests.stand_ins.adb_device` starts one by hand, whose benchmark_model is that of the emulated ARM board, and
prints the device of its targets.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.stand_ins.phone import BOARD_TOOL, Phone

Mood = Literal["device", "recovery", "unauthorized"]

_HEADER = struct.Struct("<4s5I")
_VERSION, _MAX_DATA = 0x01000001, 64 * 1024
_TOKEN = 1
_STDOUT, _EXIT = 1, 3


class UnpluggedError(Exception):
    """The link is gone."""


class AdbDevice:
    """A phone that listens on a loopback port as an adbd would."""

    def __init__(self, phone: Phone, port: int = 0, *, shell_v2: bool = True, mood: Mood = "device") -> None:
        self.phone, self.shell_v2, self.mood = phone, shell_v2, mood
        self.port = port
        self._listener: socket.socket | None = None
        self._links: list[_Link] = []
        self.plug()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    def plug(self) -> None:
        """Listen, on the same port as before."""
        if self._listener is not None:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        """Close everything abruptly, and refuse whoever calls."""
        if self._listener is not None:
            _shut(self._listener)
            self._listener = None
        for link in self._links:
            link.cut()
        self._links.clear()
        self.phone.end_commands()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            link = _Link(connection, self)
            self._links.append(link)
            threading.Thread(target=link.serve, daemon=True).start()


class _Link:
    """One host that is connected: streams over one socket."""

    def __init__(self, connection: socket.socket, device: AdbDevice) -> None:
        self.device = device
        self._connection = connection
        self._sending = threading.Lock()
        self._streams: dict[int, _Stream] = {}

    def serve(self) -> None:
        try:
            while True:
                command, first, second, length, _, _ = _HEADER.unpack(self._take(_HEADER.size))
                self._answer(command, first, second, self._take(length))
        except (UnpluggedError, OSError):
            self.cut()

    def cut(self) -> None:
        _shut(self._connection)
        for stream in tuple(self._streams.values()):
            stream.lose()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        magic = int.from_bytes(command, "little") ^ 0xFFFFFFFF
        with self._sending:
            self._connection.sendall(_HEADER.pack(command, first, second, len(data), sum(data), magic) + data)

    def _take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._connection.recv(length - len(data))
            if not more:
                raise UnpluggedError
            data += more
        return data

    def _answer(self, command: bytes, first: int, second: int, data: bytes) -> None:
        """`first` is the host's number of a stream, `second` ours, which are the same here."""
        if command in {b"CNXN", b"AUTH"}:
            self._greet()
        elif command == b"OPEN":
            self._streams[first] = stream = _Stream(self, first)
            threading.Thread(target=stream.serve, args=(data.rstrip(b"\0").decode(),), daemon=True).start()
        elif second in self._streams:
            self._streams[second].receive(command, data)

    def _greet(self) -> None:
        if self.device.mood == "unauthorized":
            self.send(b"AUTH", _TOKEN, 0, bytes(20))
            return
        features = "features=shell_v2" if self.device.shell_v2 else "features="
        model = "ro.product.name=pretend;ro.product.model=Pretend 8;ro.product.device=pretend"
        self.send(b"CNXN", _VERSION, _MAX_DATA, f"{self.device.mood}::{model};{features}".encode())


class _Stream:
    """One service that the host opened: a shell command, or a file transfer."""

    def __init__(self, link: _Link, number: int) -> None:
        self._link, self._number = link, number
        self.lost = False
        self._received: queue.Queue[bytes | None] = queue.Queue()
        self._acknowledged: queue.Queue[bool] = queue.Queue()

    def receive(self, command: bytes, data: bytes) -> None:
        if command == b"WRTE":
            self._link.send(b"OKAY", self._number, self._number)
            self._received.put(data)
        elif command == b"OKAY":
            self._acknowledged.put(True)
        else:
            self.lose()

    def lose(self) -> None:
        self.lost = True
        self._received.put(None)
        self._acknowledged.put(False)

    def serve(self, service: str) -> None:
        name, _, argument = service.partition(":")
        with contextlib.suppress(UnpluggedError, OSError):  # nobody is there to be told
            self._link.send(b"OKAY", self._number, self._number)
            if name.split(",")[0] == "shell":
                self._shell(argument, v2="v2" in name.split(","))
            elif name == "sync":
                _Sync(self).serve(self._link.device.phone)
            self._link.send(b"CLSE", self._number, self._number)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _MAX_DATA):
            self._link.send(b"WRTE", self._number, self._number, data[start : start + _MAX_DATA])
            if not self._acknowledged.get():
                raise UnpluggedError

    def incoming(self) -> Iterator[bytes]:
        while (data := self._received.get()) is not None:
            yield data

    def _shell(self, command: str, *, v2: bool) -> None:
        status, output = self._link.device.phone.shell(command)
        if v2:
            packets = [output[start : start + 32_000] for start in range(0, len(output), 32_000)]
            output = b"".join(struct.pack("<BI", _STDOUT, len(packet)) + packet for packet in packets)
            output += struct.pack("<BIB", _EXIT, 1, status)
        self.write(output)


class _Sync:
    """File transfer as of sync v1: STAT, SEND, QUIT."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._incoming = stream.incoming()
        self._data = b""

    def serve(self, phone: Phone) -> None:
        while (request := self._take(8))[:4] != b"QUIT":
            name, length = struct.unpack("<4sI", request)
            argument = self._take(length).decode()
            if name == b"STAT":
                file = phone.local(argument)
                stat = file.stat() if file.exists() else None
                told = (0, 0, 0) if stat is None else (stat.st_mode, stat.st_size, int(stat.st_mtime))
                self._stream.write(struct.pack("<4s3I", b"STAT", *told))
            elif name == b"SEND":
                self._receive_file(phone, phone.local(argument.rpartition(",")[0]))
            else:
                raise UnpluggedError

    def _receive_file(self, phone: Phone, file: Path) -> None:
        """What was received before the link broke stays, as it does on a phone."""
        with file.open("wb") as written:
            while True:
                name, length = struct.unpack("<4sI", self._take(8))
                if name == b"DONE":
                    break
                data = self._take(length)
                written.write(data[: length // 2])
                phone.amid_file()
                if self._stream.lost:
                    raise UnpluggedError
                written.write(data[length // 2 :])
        self._stream.write(struct.pack("<4sI", b"OKAY", 0))

    def _take(self, length: int) -> bytes:
        while len(self._data) < length:
            more = next(self._incoming, None)
            if more is None:
                raise UnpluggedError
            self._data += more
        data, self._data = self._data[:length], self._data[length:]
        return data


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was quicker
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def main() -> None:
    from tests.stand_ins import arm_board

    phone = Phone(Path(tempfile.mkdtemp(prefix="phone-")), [arm_board.build().commands])
    phone.put_tool(BOARD_TOOL.read_text())
    sys.stdout.write(f"adb:{AdbDevice(phone).serial}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
