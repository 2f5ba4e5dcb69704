"""The picture in the terminal while it is made: two pixels a character, above the progress bar."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imgtool.cli.console import OnProgress, console

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.segment import Segment
    from torch import Tensor

HALF_BLOCK = "\N{UPPER HALF BLOCK}"  # its upper half has the colour of the text, its lower that of the ground
SECONDS = 0.3  # between two pictures
WIDEST = 100  # columns: some 100 KB a picture are enough for a slow line
BELOW = 3  # lines that are left for the bar and what is typed after it

OnPicture = Callable[["Tensor"], None]  # told of (1, 3, H, W) in [0, 1]


class HalfBlocks:
    """A picture as lines of a terminal, for Rich."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def show(self, pixels: "NDArray[np.uint8]") -> None:
        """Show (H, W, 3), H even: as many columns, and half as many lines."""
        from rich.color import Color
        from rich.segment import Segment
        from rich.style import Style

        segments = []
        for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
            for above, below in zip(upper, lower, strict=True):
                colors = Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below))
                segments.append(Segment(HALF_BLOCK, colors))
            segments.append(Segment.line())
        self.segments = segments  # at once, for the bar is drawn by another thread

    def __rich_console__(self, _: "Console", __: "ConsoleOptions") -> "RenderResult":
        """What is shown."""
        yield from self.segments


def can_preview() -> bool:
    """Whether stderr can show a picture; if not, a note says why."""
    reason = _why_not()
    if reason and not console.json_progress:
        console.warn(f"no --preview: {reason}")
    return reason is None


@contextmanager
def previewed(title: str, *, wanted: bool) -> Iterator[tuple[OnProgress, OnPicture]]:
    """`console.progress`, with a picture above the bar.

    Args:
        title: of the bar.
        wanted: whether the picture is, see `can_preview`.
    Yields:
        A function that is told how things stand, and one that is told of pictures.
    """
    if not wanted or console.quiet:
        with console.progress(title) as on_progress:
            yield on_progress, _ignore
        return
    picture, shown = HalfBlocks(), -SECONDS
    with console.progress(title, above=picture) as show:

        def on_picture(image: "Tensor") -> None:
            if time.monotonic() - shown >= SECONDS:
                columns, lines = os.get_terminal_size(sys.stderr.fileno())
                picture.show(small(image, min(columns, WIDEST), lines - BELOW))

        def on_progress(done: float, total: float | None, note: str) -> None:
            nonlocal shown
            if done == total or time.monotonic() - shown >= SECONDS:
                show(done, total, note)
                shown = time.monotonic()

        yield on_progress, on_picture


def _ignore(_: "Tensor") -> None:
    """No picture."""


def _why_not() -> str | None:
    """Why stderr cannot show a picture."""
    if console.json_progress:
        return "stderr tells progress as JSON"
    if not sys.stderr.isatty():
        return "stderr is no terminal"
    if os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return "this terminal has no colours"
    return None


def small(image: "Tensor", columns: int, lines: int) -> "NDArray[np.uint8]":
    """A picture in so many columns and lines, two rows of pixels a line: (2 n, m, 3) uint8.

    Args:
        image: (1, 3, H, W) in [0, 1].
        columns, lines: of the terminal, at least 1.
    """
    from imgtool.imaging.tensors import resize, to_pixels

    height, width = image.shape[-2:]
    scale = min(max(1, columns) / width, 2 * max(1, lines) / height)
    rows = 2 * max(1, round(height * scale / 2))
    return to_pixels(resize(image.cpu(), (rows, max(1, round(width * scale)))))
