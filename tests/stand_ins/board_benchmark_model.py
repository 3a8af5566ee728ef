#!/usr/bin/env python3
"""TFLite's benchmark_model for a board that has Python and LiteRT: the same flags, loop and words, real timings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

FLAGS = {
    "graph": "",
    "num_runs": "50",
    "min_secs": "1",
    "max_secs": "150",
    "warmup_runs": "1",
    "warmup_min_secs": "0.5",
    "num_threads": "-1",
    "use_xnnpack": "true",
}


def log(text: str) -> None:
    sys.stdout.write(f"INFO: {text}\n")
    sys.stdout.flush()


def run(invoke: Callable[[], None], runs: str, min_secs: str, max_secs: str) -> tuple[int, float]:
    """The first time and the mean, µs."""
    log(
        f"Running benchmark for at least {runs} iterations and at least {min_secs} seconds "
        f"but terminate if exceeding {max_secs} seconds."
    )
    times: list[int] = []
    begin = now = time.monotonic()
    while (len(times) < int(runs) or now < begin + float(min_secs)) and now <= begin + float(max_secs):
        start = time.monotonic_ns() // 1000
        invoke()
        times.append(time.monotonic_ns() // 1000 - start)
        now = time.monotonic()
    mean = sum(times) / len(times)
    std = (sum((each - mean) ** 2 for each in times) / len(times)) ** 0.5
    words = f"count={len(times)} first={times[0]} curr={times[-1]} min={min(times)} max={max(times)}"
    words += f" avg={mean:g} std={std:.0f}"
    if len(set(times)) == 1:
        words = f"count={len(times)} curr={times[0]}" + ("(all same)" if len(times) > 1 else "")
    quantiles = {name: sorted(times)[len(times) * p // 100] for name, p in (("p5", 5), ("median", 50), ("p95", 95))}
    log(words + "".join(f" {name}={value}" for name, value in quantiles.items()) + "\n")
    return times[0], mean


def main() -> int:
    log("STARTING!")
    given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
    if "--help" in sys.argv:
        lines = "".join(f"\t--{name}={value}\tstring\toptional\n" for name, value in FLAGS.items())
        sys.stderr.write(f"ERROR: usage: benchmark_model <flags>\nFlags:\n{lines}\nERROR: Benchmarking failed.\n")
        return 1
    if unknown := [f"--{name}={value}" for name, value in given.items() if name not in FLAGS]:
        sys.stdout.write(f"WARN: Unconsumed cmdline flags: {' '.join(unknown)}\n")
    flags = {**FLAGS, **given}

    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    start = time.monotonic()
    try:
        interpreter = Interpreter(model_path=flags["graph"], num_threads=int(flags["num_threads"]))
        interpreter.allocate_tensors()
    except ValueError as error:
        sys.stderr.write(f"ERROR: {error}\nERROR: Failed to load model {flags['graph']}\nERROR: Benchmarking failed.\n")
        return 1
    init = int((time.monotonic() - start) * 1e6)
    tensor = interpreter.get_input_details()[0]
    noise = np.random.RandomState(0).uniform(-0.5, 0.5, tensor["shape"])
    interpreter.set_tensor(tensor["index"], noise.astype(tensor["dtype"]))
    log("Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.")
    first, warmup = run(interpreter.invoke, flags["warmup_runs"], flags["warmup_min_secs"], flags["max_secs"])
    _, mean = run(interpreter.invoke, flags["num_runs"], flags["min_secs"], flags["max_secs"])
    log(
        f"Inference timings in us: Init: {init}, First inference: {first}, "
        f"Warmup (avg): {warmup:g}, Inference (avg): {mean:g}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
