"""Weights for a command, with a progress bar while they travel."""

from imgtool.cli.console import console
from imgtool.runtime.registry import WeightsFile, find_weights


def weights_told(name: str) -> WeightsFile:
    """Weights by name or path, fetched if need be; -v tells where they are from.

    Raises:
        WeightsError: they cannot be had.
    """
    with console.progress(f"Weights {name}") as on_progress:
        found = find_weights(name, on_progress=lambda what, done, total: on_progress(done, total, what))
    console.detail(f"weights {found.name}: {found.source}")
    return found
