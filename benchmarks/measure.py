"""What several benchmarks share: commands run as children, their peak memory, and ratios of paired times."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import click

IMGTOOL = [sys.executable, "-m", "imgtool"]


def run(*command: str) -> str:
    """What a command prints; its failure is ours."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"ended with {done.returncode}: {' '.join(command)}")
    return done.stdout


def peak(*command: str) -> tuple[float, float]:
    """Peak resident memory of a command in GB, as the kernel counts it, and its seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise click.ClickException(f"ended with {status}: {' '.join(command)}")
    return usage.ru_maxrss * 1024 / 1e9, time.perf_counter() - began


def ratio(slow: Sequence[float], fast: Sequence[float]) -> str:
    """How many times faster the one side is, in words: medians, and the median of the pairs with its spread."""
    ratios = [one / two for one, two in zip(slow, fast, strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else "one pair"
    medians = f"{statistics.median(slow):.3f} s against {statistics.median(fast):.3f} s"
    return f"{medians}; median of pairs **{statistics.median(ratios):.2f}x** ({spread})"
