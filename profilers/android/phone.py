"""What an Android phone tells of itself through its shell, and how it is kept steady."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from profilers.android.adb_link import AdbLink

_CPUS = "/sys/devices/system/cpu"
_CLOCK_FILES = ("scaling_min_freq", "scaling_max_freq", "scaling_cur_freq", "scaling_governor")
_PROPERTIES = {
    "manufacturer": "ro.product.manufacturer",
    "model": "ro.product.model",
    "soc_manufacturer": "ro.soc.manufacturer",
    "soc": "ro.soc.model",
    "board": "ro.product.board",
    "hardware": "ro.hardware",
    "android": "ro.build.version.release",
    "build": "ro.build.fingerprint",
    "abi": "ro.product.cpu.abi",
}
_UNTOLD = "not exposed"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What tells that the clock or the heat changed while something ran."""

    facts: Mapping[str, str]

    @property
    def thermal_status(self) -> int | None:
        """Android's: 0 none, 1 light, … 6 shutdown. None before Android 10, which does not tell it."""
        found = re.search(r"\d+", self.facts.get("thermal status", ""))
        return int(found[0]) if found else None

    def change_until(self, later: Snapshot) -> str:
        """What changed; empty where nothing did.

        The clock of a core that idles tells nothing of the clock under load, unless it is held at one frequency; its
        upper limit, which heat and power saving lower, always counts.
        """
        told = [name for name, value in self.facts.items() if value and self._counts(name)]
        changed = [name for name in told if later.facts.get(name) != self.facts[name]]
        return "; ".join(f"{name} {self.facts[name]} to {later.facts.get(name) or 'nothing'}" for name in changed)

    def _counts(self, name: str) -> bool:
        core, _, file = name.rpartition(" ")
        if file == "scaling_cur_freq":
            limits = {self.facts.get(f"{core} {limit}") for limit in ("scaling_min_freq", "scaling_max_freq")}
            return len(limits) == 1 or self.facts.get(f"{core} scaling_governor") == "performance"
        return file != "scaling_min_freq"


def snapshot_script(cores: Iterable[int]) -> str:
    """Shell that prints a snapshot; `cores` are those that are measured."""
    status = "dumpsys thermalservice 2>/dev/null | sed -n 's/^ *Thermal Status: *//p' | head -n 1"
    lines = [f'echo "thermal status=$({status})"']
    lines += [
        f'echo "core {core} {name}=$(cat {_CPUS}/cpu{core}/cpufreq/{name} 2>/dev/null)"'
        for core in cores
        for name in _CLOCK_FILES
    ]
    return "\n".join(lines)


def read_snapshot(text: str) -> Snapshot:
    return Snapshot(_facts(text))


def properties(link: AdbLink) -> dict[str, str]:
    """Maker, model, system on a chip, Android, ABI."""
    _, text = link.shell(*(f'echo "{name}=$(getprop {key} 2>/dev/null)"' for name, key in _PROPERTIES.items()))
    return {name: value or _UNTOLD for name, value in _facts(text).items()}


def max_frequencies_khz(link: AdbLink) -> dict[int, int]:
    """Core -> its maximum frequency, 0 where the phone does not tell it."""
    _, text = link.shell(
        f"for cpu in {_CPUS}/cpu[0-9]*",
        'do echo "${cpu##*cpu}=$(cat $cpu/cpufreq/cpuinfo_max_freq 2>/dev/null)"',
        "done",
    )
    return {int(core): int(khz) if khz.isdigit() else 0 for core, khz in _facts(text).items() if core.isdigit()}


def governor(link: AdbLink, core: int) -> str:
    _, text = link.shell(f"cat {_CPUS}/cpu{core}/cpufreq/scaling_governor 2>/dev/null")
    return text.strip() or _UNTOLD


def choose_cores(frequencies_khz: Mapping[int, int], threads: int, choice: str) -> list[int]:
    """As many cores as threads: the fastest ("big"), the slowest ("little"), none ("any"); of equals the last ones."""
    cores = sorted(frequencies_khz, key=lambda core: (frequencies_khz[core], core))
    if threads > len(cores):
        raise ValueError(f"{threads} threads asked, but the phone tells of {len(cores)} cores")
    if choice == "any":
        return []
    return sorted(cores[-threads:] if choice == "big" else cores[:threads])


def affinity_mask(cores: Iterable[int]) -> str:
    """The cores as `taskset` takes them: hexadecimal, without 0x."""
    return f"{sum(1 << core for core in cores):x}"


def set_fixed_performance(link: AdbLink, *, enabled: bool) -> bool:
    """Hold the clocks within what the phone can sustain, or let them go; False where the phone cannot (Android 11)."""
    status, _ = link.shell(f"cmd power set-fixed-performance-mode-enabled {str(enabled).lower()}")
    return status == 0


def state(link: AdbLink) -> dict[str, str]:
    """What changes from moment to moment."""
    _, text = link.shell(
        f'echo "frequencies_khz=$(cat {_CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq 2>/dev/null | tr "\\n" ",")"',
        'echo "temperatures_millicelsius=$(cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null | tr "\\n" ",")"',
        'echo "load=$(cut -d " " -f 1 /proc/loadavg 2>/dev/null)"',
        "dumpsys battery 2>/dev/null | sed -nE 's/^ *(AC powered|USB powered|level|temperature): */battery \\1=/p'",
        snapshot_script(()),
        'echo "time=$(date -u +%Y-%m-%dT%H:%M:%SZ)"',
    )
    return {name: value.strip(",") or _UNTOLD for name, value in _facts(text).items()}


def _facts(text: str) -> dict[str, str]:
    """Lines of `name=value`."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
