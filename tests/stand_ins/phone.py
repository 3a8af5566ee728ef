"""An Android phone's shell and files for tests: a folder stands for its root, small scripts for its commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

# The tool for a phone whose python3 is the emulated ARM board's.
BOARD_TOOL = Path(__file__).with_name("board_benchmark_model.py")

# Two big cores, two middling ones, four little ones, numbered as phones number them.
_MAX_FREQUENCIES_KHZ = (1_800_000,) * 4 + (2_400_000,) * 2 + (3_000_000,) * 2
_PROPERTIES = {
    "ro.product.manufacturer": "Stand-in",
    "ro.product.model": "Pretend 8",
    "ro.soc.manufacturer": "Stand-in Chips",
    "ro.soc.model": "SPECIMEN-1",
    "ro.product.board": "specimen",
    "ro.hardware": "specimen",
    "ro.build.version.release": "14",
    "ro.build.fingerprint": "stand-in/pretend/8:14/AB1/1:user/release-keys",
    "ro.product.cpu.abi": "arm64-v8a",
}
_COMMANDS = {
    "getprop": 'cat "$PHONE/properties/$1" 2>/dev/null || echo',
    "dumpsys": """case $1 in
thermalservice) echo "IsStatusOverride: false"; echo "Thermal Status: $(cat $PHONE/thermal)"; echo "HAL Ready: true";;
battery) echo "  AC powered: false"; echo "  level: 87"; echo "  temperature: 251";;
esac""",
    "cmd": """[ -f $PHONE/fixed ] || { echo "Failed to set FIXED_PERFORMANCE mode" >&2; exit 255; }
[ "$1 $2" = "power set-fixed-performance-mode-enabled" ] && echo $3 > $PHONE/fixed""",
    "taskset": """echo "$1" >> $PHONE/masks; shift; exec "$@\"""",
}


class Phone:
    """A phone whose /data and /sys lie in `root`; `path` are folders of more commands, as its python3."""

    def __init__(self, root: Path, path: Sequence[Path] = ()) -> None:
        self.root = root
        self.ran: list[str] = []  # every command, as it came
        self.before_command: Callable[[], None] = lambda: None
        self.amid_file: Callable[[], None] = lambda: None
        self._path = path
        self._running: set[subprocess.Popen[bytes]] = set()
        self._furnish()

    def local(self, place: str) -> Path:
        """Where a file of the phone lies on this machine."""
        return self.root / place.lstrip("/")

    def core_file(self, core: int, name: str) -> Path:
        return self.root / f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}"

    def set_thermal_status(self, status: int) -> None:
        (self.root / "thermal").write_text(f"{status}\n")

    @property
    def fixed_performance(self) -> str:
        """What the mode was last set to."""
        return (self.root / "fixed").read_text().strip()

    @property
    def masks(self) -> list[str]:
        """What `taskset` was given."""
        return (self.root / "masks").read_text().split()

    @property
    def graphs(self) -> list[str]:
        """The model of each run of the tool."""
        return [graph for command in self.ran for graph in re.findall(r"--graph=\S*?([^/\s]+)\.tflite", command)]

    def put_tool(self, script: str, place: str = "/data/local/tmp/benchmark_model") -> None:
        self.local(place).write_text(script)

    def shell(self, command: str) -> tuple[int, bytes]:
        """Run a command as the phone would; exit status, and all it wrote."""
        self.before_command()
        self.ran.append(command)
        here = re.sub(r"(?<![\w./-])/(?=(data|sys)/)", f"{self.root}/", command)
        path = os.pathsep.join([str(self.root / "commands"), *map(str, self._path), os.environ["PATH"]])
        process = subprocess.Popen(
            ["sh", "-c", here],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": path, "PHONE": str(self.root)},
            start_new_session=True,
        )
        self._running.add(process)
        output, _ = process.communicate()
        self._running.discard(process)
        return process.returncode & 0xFF, output.replace(str(self.root).encode(), b"")

    def end_commands(self) -> None:
        """What runs is ended, as it is when the link is lost."""
        for process in tuple(self._running):
            os.killpg(process.pid, signal.SIGKILL)

    def _furnish(self) -> None:
        for name, script in _COMMANDS.items():
            command = self.root / "commands" / name
            command.parent.mkdir(parents=True, exist_ok=True)
            command.write_text(f"#!/bin/sh\n{script}\n")
            command.chmod(0o755)
        for name, value in _PROPERTIES.items():
            self._write(f"properties/{name}", value)
        for core, khz in enumerate(_MAX_FREQUENCIES_KHZ):
            clocks = {"cpuinfo_max": khz, "scaling_max": khz, "scaling_min": 300_000, "scaling_cur": khz}
            files = {f"{name}_freq": str(clock) for name, clock in clocks.items()} | {"scaling_governor": "schedutil"}
            for file, told in files.items():
                self._write(f"sys/devices/system/cpu/cpu{core}/cpufreq/{file}", told)
        for name, text in {"thermal": "0", "fixed": "false", "masks": ""}.items():
            self._write(name, text)
        (self.root / "data/local/tmp").mkdir(parents=True, exist_ok=True)

    def _write(self, name: str, value: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n" if value else "")
