from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.errors import TargetError
from profilers.ssh import Address, Board, shortage
from profilers.ssh_config import host_names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("board", "board"),
        ("pi@raspberry.local", "pi@raspberry.local"),
        ("pi@10.0.0.7:2222", "-p 2222 pi@10.0.0.7"),
        ("pi@[fe80::1%eth0]", "pi@fe80::1%eth0"),
        ("[::1]:2222", "-p 2222 ::1"),
    ],
)
def test_an_address_is_what_ssh_takes(text: str, words: str) -> None:
    assert str(Address.parse(text)) == words


@pytest.mark.parametrize(
    "text", ["", "pi@", "@pi", "-oProxyCommand=x", "pi@-x", "a b", "pi:x", "pi:0", "pi:65536", "::1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="write ssh:user@host"):
        Address.parse(text)


@given(st.text())
def test_an_address_never_gives_ssh_an_option(text: str) -> None:
    try:
        destination = Address.parse(text).destination
    except TargetError:
        return
    assert destination and not any(part.startswith("-") for part in destination.split("@"))


BOARD = Board(
    python=(3, 11, 2),
    executable="/usr/bin/python3",
    open_to_pip=False,
    modules=("ai_edge_litert", "numpy", "onnxruntime"),
    numpy="",
    model="Raspberry Pi 5 Model B Rev 1.0",
    system="Linux",
    machine="aarch64",
)
OLD = replace(BOARD, modules=("numpy", "tflite_runtime"), numpy="1.26.4", open_to_pip=True)


@pytest.mark.parametrize(
    ("board", "runtime", "told"),
    [
        (BOARD, "litert", ""),
        (OLD, "litert", ""),
        (OLD, "onnxruntime", "'/usr/bin/python3 -m pip install onnxruntime'"),
        (replace(OLD, numpy="2.0.1"), "litert", """has no numpy<2; install it: .* -m pip install "numpy<2"'"""),
        (replace(OLD, modules=()), "litert", "-m pip install ai-edge-litert'"),
        (replace(OLD, modules=(), machine="armv7l"), "litert", """-m pip install tflite-runtime "numpy<2"'"""),
        (replace(OLD, python=(3, 8, 1), modules=()), "litert", """pip install tflite-runtime "numpy<2"'"""),
        (replace(BOARD, modules=("onnxruntime",)), "onnxruntime", r"has no numpy; .* ~/\.millis/bin/pip install onnx"),
        (replace(BOARD, python=(3, 7, 3)), "litert", "is Python 3.7.3, and 3.8 is the least"),
        (
            replace(BOARD, executable="/data/data/com.termux/files/usr/bin/python3", modules=()),
            "onnxruntime",
            "install it: ssh -p 8022 phone pkg install python-onnxruntime python-numpy",
        ),
    ],
)
def test_a_shortage_names_what_is_missing_and_what_brings_it(board: Board, runtime: str, told: str) -> None:
    text = shortage(Address.parse("phone:8022"), board, runtime)
    assert re.search(told, text) if told else not text
    assert (runtime in board.runtimes) == (not text)


def test_a_board_is_described_by_what_it_calls_itself() -> None:
    assert BOARD.description == "Raspberry Pi 5 Model B Rev 1.0, Linux aarch64, Python 3.11.2"
    assert replace(BOARD, model="").description == "Linux aarch64, Python 3.11.2"


def test_the_hosts_of_a_configuration_are_its_names_without_wildcards(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/pi.conf").write_text("host=pi\nInclude ../config\n")
    (tmp_path / "config").write_text(
        'Include more/*.conf\nHost a "b" *.c !d # e\n  HostName x\nHost "open\nMatch host f\n'
    )
    assert host_names(tmp_path / "config") == ("pi", "a", "b")
    assert host_names(tmp_path / "none") == ()


@given(st.text())
def test_no_configuration_of_ssh_is_too_odd_to_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    config = tmp_path_factory.mktemp("ssh") / "config"
    config.write_text("Host first\n" + text, encoding="utf-8", errors="surrogatepass")
    assert host_names(config)[0] == "first"
