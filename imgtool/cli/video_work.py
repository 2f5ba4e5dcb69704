"""What `imgtool stylize --video` does: the frame before is at hand, and an animation is read and written."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imgtool.cli.batch import Job, Work
from imgtool.cli.console import console
from imgtool.cli.recipes import Ingredient
from imgtool.cli.session import Session
from imgtool.cli.sources import Source, is_file
from imgtool.cli.video import is_animation
from imgtool.errors import OptionError
from imgtool.imaging.animation import read_timing, write_animation
from imgtool.imaging.picture import Picture
from imgtool.imaging.tensors import to_image
from imgtool.tasks.video import Before


@dataclass(frozen=True)
class Painted:
    """A frame as it was repainted.

    Attributes:
        picture: to be written.
        typed: the options, by parameter name, as a recipe holds them.
        metrics: for its `--json` line.
        interrupted: the signal that cut it short.
        error: why it is not what was asked for.
    """

    picture: Picture
    typed: Mapping[str, Any]
    metrics: Mapping[str, Any]
    interrupted: KeyboardInterrupt | None
    error: str | None


class Paints(Protocol):
    """Work that repaints pictures one by one."""

    session: Session

    def paint(self, picture: Picture, before: Before | None, *, title: str) -> Painted:
        """A frame repainted, after the frame before if it is known."""


def frame_before(
    session: Session, job: Job, picture: Picture, values: Mapping[str, Any]
) -> tuple[Before | None, list[Ingredient]]:
    """The frame before a job's and its result, as it was written: in this run, in one that was cut short, or given.

    Where the size changes in a folder, another film begins.

    Args:
        session, job: of this frame.
        picture: this frame.
        values: of the command.
    Raises:
        BadImage: one of the two cannot be read.
        OptionError: they were given, and are of another size.
    """
    if given := values["previous_frame"]:
        number = values["frame"]
        frame = Source(Path(given), frame=None if number is None else max(1, number - 1))
        result = Path(values["previous_result"])
    elif values["video"] and job.before is not None and is_file(job.before.output):
        frame, result = job.before.source, job.before.output
    else:
        return None, []
    content, one = session.read(frame, "previous_frame")
    if (content.height, content.width) != (picture.height, picture.width):
        if not given:
            return None, []
        sizes = f"{content.width}x{content.height}, and the picture {picture.width}x{picture.height}"
        raise OptionError("previous_frame", f"it is {sizes}; frames of one film are of one size")
    made, other = session.read(Source(result), "previous_result")
    return Before(to_image(content.pixels), to_image(made.pixels)), [one, other]


def frame_typed(job: Job) -> dict[str, int]:
    """Which frame of an animation it is, as a recipe holds it."""
    return {} if job.source.frame is None else {"frame": job.source.frame}


def animated(make: Callable[[], Any], given: Sequence[str], values: dict[str, Any]) -> Callable[[], Work]:
    """What prepares the work of a command: `make`, or its animation where one is to be made of what was given."""
    return (lambda: AnimationWork(make())) if is_animation(given, values) else make


class AnimationWork:
    """Repaints an animation frame by frame; called with a job, it writes an animation with the same times.

    A signal ends it with the frames that are finished. They are kept until the end, in 3 bytes a pixel.
    """

    def __init__(self, work: Paints) -> None:
        self.work, self.session = work, work.session

    def __call__(self, job: Job) -> dict[str, Any]:
        """Repaint one animation; the fields of its `--json` line."""
        began, timing = time.monotonic(), read_timing(job.source.path)
        made, ingredient, interrupted = self._made(job, len(timing.seconds))
        typed = {**made[0].typed, "video": True}
        notes = write_animation(
            job.output,
            _alike([each.picture for each in made]),
            seconds=timing.seconds[: len(made)],
            loop=timing.loop,
            recipe=self.session.recipe(ingredient, typed, unfinished=interrupted is not None),
            overwrite=self.session.force or job.unfinished,
        )
        for note in notes:
            console.warn(note)
        seconds, first = time.monotonic() - began, made[0].picture
        frames = f"{len(made)} of {len(timing.seconds)} frames"
        console.say(f"{job}: {first.width}x{first.height}, {frames}, {seconds:.1f} s")
        if interrupted:
            console.say(
                "For all frames: the same command with --skip-existing, which does anew what was cut short."
            )
        errors = [f"frame {number}: {each.error}" for number, each in enumerate(made, start=1) if each.error]
        for error in errors:
            console.error(f"{job.source}: {error}")
        return {
            "width": first.width,
            "height": first.height,
            "frames": len(made),
            "seconds": round(seconds, 3),
            **self.session.about(),
            "metrics": {"frames": [each.metrics for each in made]},
            **({"interrupted": interrupted} if interrupted else {}),
            **({"error": errors[0]} if errors else {}),
        }

    def _made(self, job: Job, total: int) -> tuple[list[Painted], Ingredient, KeyboardInterrupt | None]:
        """The frames that were finished, what they were made of, and what ended them early."""
        made: list[Painted] = []
        before: Before | None = None
        try:
            for number in range(1, total + 1):
                picture, ingredient = self.session.read(replace(job.source, frame=number), "pictures")
                now = self.work.paint(picture, before, title=f"{job.source.stem} {number}/{total}")
                if now.interrupted and made:
                    return made, ingredient, now.interrupted
                # Without the tensors that a picture still has with it.
                made.append(Painted(now.picture, now.typed, now.metrics, now.interrupted, now.error))
                if now.interrupted:
                    break
                before = Before(to_image(picture.pixels), to_image(now.picture.pixels))
        except KeyboardInterrupt as stop:
            if not made:
                raise
            return made, ingredient, stop
        return made, ingredient, made[-1].interrupted


def _alike(frames: Sequence[Picture]) -> list[NDArray[np.uint8]]:
    """(H, W, 3) each, or (H, W, 4) if one of them is transparent."""
    if all(frame.alpha is None for frame in frames):
        return [frame.pixels for frame in frames]
    opaque = np.full((frames[0].height, frames[0].width), 255, np.uint8)
    return [np.dstack([frame.pixels, opaque if frame.alpha is None else frame.alpha]) for frame in frames]
