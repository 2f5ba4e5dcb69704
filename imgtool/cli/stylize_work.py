"""What `imgtool stylize` does for each photo: read, call the task, write, tell."""

import math
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from torch import Tensor

from imgtool import STARTED
from imgtool.api.inputs import mask_of
from imgtool.cli import params, stylize_memory
from imgtool.cli.batch import Job
from imgtool.cli.console import OnProgress, console
from imgtool.cli.preview import OnPicture, can_preview, previewed
from imgtool.cli.session import Session
from imgtool.cli.sources import STREAM
from imgtool.cli.style_files import read_style_file
from imgtool.cli.style_masks import is_auto
from imgtool.cli.style_masks_work import Regions
from imgtool.cli.video_work import Painted, frame_before, frame_typed
from imgtool.imaging.io import Picture
from imgtool.imaging.tensors import fit, resize, to_image, to_picture
from imgtool.options.stylize import INITS, RECIPE_FIELDS, StylizeOptions
from imgtool.runtime.device import step_down
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.edge_term import edge_terms
from imgtool.tasks.load import activations_name, load_style_network
from imgtool.tasks.placed_styles import require_pictures, require_same_network
from imgtool.tasks.style_file import is_style_file
from imgtool.tasks.style_objective import Style
from imgtool.tasks.stylize import OnStep, Step, StylizeResult, stylize
from imgtool.tasks.video import Before, Carried, carried, stylize_frame

# Kept back from --time for writing the result and giving back its memory: a part whatever the size, and a part for
# each megapixel.
WRITE_SECONDS, WRITE_SECONDS_PER_MEGAPIXEL = 0.3, 1.0
# And for leaving, as a share of what it took to load all that is then unloaded, for both wait for the same machine.
# Seen with two busy cores: 1.5 s to load, 0.6 to 0.9 s to leave after 256 and 512 px, 1.0 s after 1024 px.
LEAVE_SHARE = 0.6
STRETCHED = 0.05  # logarithm of how much a mask may be stretched before it is told
DIVERGED = "the loss became NaN or infinite, also after restarts; saved the last good picture"


@dataclass(frozen=True)
class Repainted(Painted):
    """A photo as it was repainted, how it went, and the styles where they were wanted."""

    result: StylizeResult
    styles: Sequence[Style]


class StylizeWork:
    """Network and styles, loaded once; called with a job, it repaints one photo.

    Args:
        options: of the task.
        styles: file and weight of each.
        values: the command's other values by parameter name.
    Raises:
        BadImage, WeightsError, DeviceError: nothing can be done for any photo.
    """

    def __init__(
        self, options: StylizeOptions, styles: Sequence[tuple[str, float]], values: dict[str, Any]
    ) -> None:
        self.loading = time.monotonic() - STARTED
        self.options, self.values = options, values
        self.began: float | None = STARTED
        self.session = Session("stylize", {**values, "seed": options.seed}, exact=options.exact)
        self.styles = list(self._read_styles(styles))
        self.init = None
        if options.init not in INITS:
            self.init = to_image(self.session.read_shared(options.init, "init").pixels)
        weights = self.session.find_weights(values["weights"] or options.network)
        activations = self._find_activations(weights) if options.rescale else None
        self.options = options = replace(options, rescale=activations is not None)
        require_pictures(self.styles, options)
        require_same_network(self.styles, options, weights, self.session.device)
        self.network = load_style_network(weights, options, self.session.device, activations)
        self.terms = edge_terms(options, self.session.find_weights, self.session.device)
        self.regions = Regions(self.session, values, len(self.styles))
        self.preview = values["preview"] and can_preview()

    def __call__(self, job: Job) -> dict[str, Any]:
        """Repaint one photo and write it; the fields of its `--json` line."""
        began = self.began or time.monotonic()
        self.began = None  # only the first photo pays for the start
        picture, ingredient = self.session.read(job.source, "pictures")
        self._note_stretched(job, picture)
        before, ingredients = frame_before(self.session, job, picture, self.values)
        painted = self.paint(picture, before, title=job.source.stem, job=job, began=began)
        recipe = self.session.recipe(
            ingredient,
            {**painted.typed, **frame_typed(job)},
            also=ingredients,
            unfinished=painted.interrupted is not None,
        )
        self.session.write(job, painted.picture, recipe, sidecar=self.values["sidecar"])
        if self.values["save_masks"]:
            for number, (_, mask) in enumerate(self.regions.shown(painted.styles), start=1):
                self.session.write_beside(job, f"-mask{number}.png", mask)
        if self.values["sheet"]:
            self._write_sheet(job, picture, painted)
        return self._told(job, painted, time.monotonic() - began)

    def _note_stretched(self, job: Job, picture: Picture) -> None:
        """Tell of masks that are of another shape than a photo."""
        for mask in (style.content_mask for style in self.styles if style.content_mask is not None):
            height, width = mask.shape[-2:]
            if abs(math.log(width * picture.height / (height * picture.width))) > STRETCHED:
                sizes = f"{width}x{height} is stretched over {picture.width}x{picture.height}"
                console.warn(f"{job.source}: a --content-mask of {sizes}")

    def paint(
        self,
        picture: Picture,
        before: Before | None,
        *,
        title: str,
        job: Job | None = None,
        began: float | None = None,
    ) -> Repainted:
        """A photo repainted, after the frame before if it is known.

        Args:
            picture: the photo.
            before: the frame before of a film.
            title: of the progress.
            job: beside whose output pictures on the way are saved.
            began: from when `--time` counts.
        """
        began = began or time.monotonic()
        size = fit((picture.height, picture.width), self.options.size)
        content, hint = to_image(picture.pixels), self._less_memory(size)
        last = _goes_on(before, content, size)
        options = self.options if last is None else self.options.of_later_frames
        repaint = partial(stylize, init=self.init) if last is None else partial(stylize_frame, last=last)
        tries = stylize_memory.fitting(
            options,
            size,
            list(self._sides(size)),
            self.session.device,
            keep_history=self.values["history"] is not None,
            hint=hint,
        )
        styles = self.regions.placed(self.styles, picture, size)
        with previewed(title, wanted=self.preview) as told:

            def run(options: StylizeOptions) -> tuple[StylizeOptions, StylizeResult]:
                return options, repaint(
                    content,
                    styles,
                    options,
                    network=self.network,
                    terms=self.terms,
                    deadline=self._deadline(began, size),
                    on_step=self._on_step(options, job, picture, began, *told),
                )

            options, result = step_down(run, tries, say=stylize_memory.say_leaner, hint=hint)
        return Repainted(
            picture=to_picture(result.image, _alpha(picture, size)),
            typed={**resolved(options, result.steps, later=last is not None), **self.regions.typed()},
            metrics={"steps": list(result.steps), "losses": [step.as_dict() for step in result.history]},
            interrupted=result.interrupted,
            error=DIVERGED if result.diverged else None,
            result=result,
            styles=styles,
        )

    def _less_memory(self, size: tuple[int, int]) -> str:
        """The option that helps where memory does not suffice for a result of (height, width)."""
        if self.options.stroke is not None and self.options.for_size(max(size)).style_scale > 1:
            return "a smaller --stroke"  # which says how large the style picture is, whatever the size
        or_else = " or a smaller --style-scale" if self.options.style_scale > 1 else ""
        device = self.session.device
        fits = stylize_memory.smaller(self.options, size, list(self._sides(size)), device)
        return f"--size {fits}{or_else}"

    def _sides(self, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """(height, width) of each style picture as it is worked on for a result of `size`."""
        for style in self.styles:
            if style.image is not None:
                longest = max(size) * self.options.for_size(max(size)).style_scale
                yield fit((style.image.shape[-2], style.image.shape[-1]), longest)

    def _find_activations(self, weights: WeightsFile) -> WeightsFile | None:
        """What the network is rescaled by, as its paper has it; None, and a word about it, if nobody measured it."""
        name = activations_name(weights)
        if name is None:
            console.warn(f"{weights.name} is not rescaled as in the paper: its activations were not measured")
            return None
        return self.session.find_weights(name)

    def _read_styles(self, styles: Sequence[tuple[str, float]]) -> Iterator[Style]:
        """The style pictures, each with its pair of masks if there is one."""
        content_masks, style_masks = self.values["content_mask"], self.values["style_mask"]
        if is_auto(self.values):
            content_masks = ()
        found = [self._read_style(path, weight) for path, weight in styles]
        if len(found) == 1:
            found *= max(1, len(content_masks))
        for style, content_mask, style_mask in zip_longest(found, content_masks, style_masks):
            yield replace(
                style,
                content_mask=self._read_mask(content_mask, "content_mask"),
                style_mask=self._read_mask(style_mask, "style_mask"),
            )

    def _read_style(self, path: str, weight: float) -> Style:
        """A style picture, or what a style file says of one."""
        if path != STREAM and is_style_file(Path(path)):
            return Style(None, weight, saved=read_style_file(self.session, path, weight))
        return Style(to_image(self.session.read_shared(path, "style", weight).pixels), weight)

    def _read_mask(self, path: str | None, param: str) -> Tensor | None:
        """A mask as (1, 1, H, W) in [0, 1], white where it holds; transparent is black."""
        if path is None:
            return None
        return mask_of(self.session.read_shared(path, param), param)

    def _deadline(self, began: float, size: tuple[int, int]) -> float | None:
        """When optimising has to end, for everything to be done in time."""
        if self.options.time is None:
            return None
        pictures = 3 + len(self.styles) if self.values["sheet"] else 1
        writing = WRITE_SECONDS + WRITE_SECONDS_PER_MEGAPIXEL * size[0] * size[1] / 1e6 * pictures
        return began + max(0.0, self.options.time - writing - LEAVE_SHARE * self.loading)

    def _on_step(
        self,
        options: StylizeOptions,
        job: Job | None,
        photo: Picture,
        began: float,
        on_progress: OnProgress,
        on_picture: OnPicture,
    ) -> OnStep:
        every = self.values["save_every"]
        total = sum(options.steps_per_scale)

        def on_step(step: Step, image: Tensor) -> None:
            on_picture(image)
            shown = {"content": step.content, "style": step.style, **step.others}
            note = "  ".join(f"{name} {loss:.3g}" for name, loss in shown.items())
            if options.time is None:
                on_progress(step.number, total, note)
            else:
                on_progress(time.monotonic() - began, options.time, note)
            if every and job and step.number % every == 0:
                alpha = _alpha(photo, (image.shape[-2], image.shape[-1]))
                self.session.write_beside(job, f"-step{step.number:04d}.png", to_picture(image, alpha))

        return on_step

    def _write_sheet(self, job: Job, photo: Picture, painted: Repainted) -> None:
        from imgtool.imaging.sheet import draw_sheet

        height, width = painted.picture.height, painted.picture.width
        panels = [("content", to_picture(resize(to_image(photo.pixels), (height, width))))]
        panels += [
            (f"style {number}" if len(self.styles) > 1 else "style", to_picture(style.image))
            for number, style in enumerate(self.styles, start=1)
            if style.image is not None
        ]
        panels += [*self.regions.shown(painted.styles), ("result", painted.picture)]
        history = painted.result.history
        curves = {
            "objective": [step.total for step in history],
            "content": [step.content for step in history],
            "style": [step.style for step in history],
        }
        for name in history[-1].others if history else ():
            curves[name] = [step.others[name] for step in history]
        self.session.write_beside(job, "-sheet.png", draw_sheet(panels, curves=curves))

    def _told(self, job: Job, painted: Repainted, seconds: float) -> dict[str, Any]:
        """Say what came of it; the fields of its `--json` line."""
        result, width, height = painted.result, painted.picture.width, painted.picture.height
        steps = sum(result.steps)
        scale = result.history[-1].scale if result.history else 0
        best = min((step.total for step in result.history if step.scale == scale), default=None)
        loss = "" if best is None else f", objective {best:.4g}"
        console.say(f"{job}: {width}x{height}, {steps} steps, {seconds:.1f} s{loss}")
        fields: dict[str, Any] = {
            "width": width,
            "height": height,
            "seconds": round(seconds, 3),
            **self.session.about(),
            "metrics": painted.metrics,
        }
        if result.interrupted:
            fields["interrupted"] = result.interrupted
            if (
                not job.to_stream and not self.values["video"]
            ):  # of which a frame stands for nothing by itself
                console.say(f"Saved the best so far; to go on: {self._go_on(job)}")
        if painted.error:
            console.error(
                f"{job.source}: {painted.error}", hint="--precision fp32 or a smaller --style-weight"
            )
            fields["error"] = painted.error
        return fields

    def _go_on(self, job: Job) -> str:
        """The command that goes on from the picture that was saved, at full size."""
        words = ["imgtool", "stylize", str(job.source.path)]
        for item in self.session.shared:
            if item.param == "style":
                words += ["--style", str(item.path) if item.weight == 1 else f"{item.path}:{item.weight:g}"]
        words += params.typed_by_user(but=(*params.OUTPUT, "style", "init", "scales", "steps"))
        steps = [] if self.options.time else ["--steps", str(self.options.steps[-1])]
        more = ["--scales", "1", "--init", str(job.output), "-o", str(job.beside("-more.png"))]
        return shlex.join([*words, *steps, *more])


def _goes_on(before: Before | None, content: Tensor, size: tuple[int, int]) -> Carried | None:
    """The frame before at a size of (height, width), where there is one and it shows the same scene."""
    last = None if before is None else carried(before, content, size)
    return last if last is not None and last.goes_on else None


def resolved(options: StylizeOptions, steps: Sequence[int], *, later: bool = False) -> dict[str, Any]:
    """The options by parameter name, as they would have to be typed for the same result of so many steps.

    A frame that goes on from the one before takes its steps from those of such frames.
    """
    typed = asdict(options)
    for name in (*RECIPE_FIELDS, "time"):
        del typed[name]
    if typed["init"] not in INITS:
        del typed["init"]  # an ingredient
    return {
        **typed,
        "size": typed["size"] or "full",
        # Scales that a signal cut off had no step.
        "steps": [*steps, *[0] * (options.scales - len(steps))],
        **({"frame_steps": sum(steps)} if later else {}),
    }


def _alpha(picture: Picture, size: tuple[int, int]) -> Tensor | None:
    """The photo's alpha at the result's size, (1, 1, H, W)."""
    return None if picture.alpha is None else resize(to_image(picture.alpha), size)
