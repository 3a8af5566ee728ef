from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.packagers import PACKAGERS
from pipeline.cli.app import app
from pipeline.doctor import examine
from profilers.check import Check
from profilers.devices import device_kinds, load_device_kind
from profilers.runtimes import RUNTIMES


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any program on its path and without any package that a runtime needs."""

    def no_version(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("profilers.runtimes.version", no_version)


def test_the_doctor_looks_at_every_runtime_device_and_packager() -> None:
    names = " ".join(check.name for check in examine())
    measured_here = set(device_kinds()) - {"elsewhere"}
    assert all(word in names for word in (*RUNTIMES, *PACKAGERS, *measured_here))


@pytest.mark.usefixtures("bare")
def test_a_bare_machine_is_no_failure_and_everything_missing_has_a_command() -> None:
    found = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(found.stdout)
    missing = [check for check in document["checks"] if not check["ok"]]
    assert found.exit_code == 0
    assert document["missing"] == len(missing) > len(RUNTIMES)
    assert all(check["mend"] for check in missing)


@pytest.mark.usefixtures("bare")
def test_a_bare_machine_is_told_what_to_install_in_words() -> None:
    found = CliRunner().invoke(app, ["doctor"])
    assert found.exit_code == 0
    assert "pip install 'millis[litert]'" in found.stdout
    assert "adb" in found.stdout


@pytest.mark.usefixtures("bare")
def test_devices_are_listed_on_a_bare_machine_too() -> None:
    found = CliRunner().invoke(app, ["devices", "--json"])
    devices = json.loads(found.stdout)["devices"]
    assert found.exit_code == 0
    assert devices[0]["name"] == "local"
    assert "pip install" in devices[0]["problem"]


def test_a_page_needs_the_browser_s_runtimes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path))
    [web] = [check for check in examine() if check.name == "export and package web"]
    assert not web.ok
    assert (web.found, web.mend) == ("the browser's runtimes are not installed", "millis setup browser")


def test_what_is_missing_without_a_way_to_mend_it_is_no_check() -> None:
    with pytest.raises(ValueError, match="says what mends it"):
        Check(name="profile on Mars", ok=False, found="no rocket")


def test_every_file_of_the_devices_folder_is_a_kind_of_device() -> None:
    for kind in device_kinds():
        module = load_device_kind(kind)
        assert all(callable(getattr(module, name)) for name in ("connect", "reachable", "checks"))
