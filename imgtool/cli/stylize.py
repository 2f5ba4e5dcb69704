"""`imgtool stylize`: options, files in, one task, files out."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from imgtool.cli import batch, params
from imgtool.errors import OptionError
from imgtool.options import INITS, OPTIMIZERS, POOLS, STYLE_NETWORKS, STYLIZE_RECIPES, StylizeOptions

UNLIMITED = 1_000_000  # steps, when --time is in charge


class Size(click.ParamType):
    """Pixels of the longest side, or `full`."""

    name = "pixels|full"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A number of pixels, or "full"."""
        return value if value == "full" else click.INT.convert(value, param, ctx)


class WeightedFile(click.ParamType):
    """`FILE` or `FILE:weight`."""

    name = "file[:weight]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The file and its weight, 1 unless given."""
        if isinstance(value, tuple):
            return value
        path, _, weight = value.rpartition(":")
        if not path or Path(value).exists():
            return value, 1.0
        try:
            return path, float(weight)
        except ValueError:
            return value, 1.0


def default(name: str) -> Any:
    """A field's default as the help shows it; the option itself stays None, so that a recipe can speak first."""
    value = getattr(StylizeOptions(), name)
    return ",".join(map(str, value)) if isinstance(value, tuple | dict) else str(value)


@click.command("stylize")
@click.argument("pictures", nargs=-1, required=True, metavar="CONTENT… [STYLE]")
@click.option("--style", "styles", type=WeightedFile(), multiple=True, metavar="FILE[:WEIGHT]",
              help="A style picture; may be repeated. With it every positional picture is a content.")
@params.output
@click.option("--size", type=Size(), show_default=default("size"), help="Longest side of the result in pixels, or full.")
@click.option("--steps", type=params.Numbers(), show_default=default("steps"),
              help="Steps of every scale, or of each with commas, coarse to fine.")
@click.option("--time", type=params.Seconds(), metavar="TIME", help="Best result within 60s, 5m, …, start-up included.")
@click.option("--content-weight", type=float, show_default=default("content_weight"), help="Keep more of the photo.")
@click.option("--style-weight", type=float, show_default=default("style_weight"), help="Take more of the style.")
@click.option("--tv-weight", type=float, show_default=default("tv_weight"), help="Smooth more: total variation.")
@click.option("--style-scale", type=float, show_default=default("style_scale"),
              help="Size of the style picture against the result: above 1 for larger strokes.")
@click.option("--preserve-color/--no-preserve-color", default=None, help="Keep the colours of the photo.")
@click.option("--init", metavar="content|noise|style|FILE", show_default=default("init"),
              help="The picture to start from; a FILE goes on from an earlier result.")
@click.option("--content-mask", "content_masks", multiple=True, metavar="FILE",
              help="White where the next --style applies; one for each style, in the same order.")
@click.option("--style-mask", "style_masks", multiple=True, metavar="FILE",
              help="White where that style is taken from; goes with a --content-mask.")
@click.option("--content-layers", type=params.Weighted(), show_default=default("content_layers"), help="With weights.")
@click.option("--style-layers", type=params.Weighted(), show_default=default("style_layers"), help="With weights.")
@click.option("--scales", type=int, show_default=default("scales"), help="Sizes to work at, each twice the one before.")
@click.option("--pool", type=click.Choice(POOLS), show_default=default("pool"), help="Pooling of the network.")
@click.option("--network", type=click.Choice(list(STYLE_NETWORKS)), show_default=default("network"),
              help="Which network judges style.")
@click.option("--weights", metavar="NAME|FILE", help="Other weights for it.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), show_default=default("optimizer"), help="How to step.")
@click.option("--history", type=int, show_default=default("history"), help="Steps that L-BFGS remembers.")
@click.option("--recipe", type=click.Choice(list(STYLIZE_RECIPES)), default="default", show_default=True,
              help="Defaults of the other options; gatys2016 is the paper as published.")
@click.option("--seed", type=int, show_default=default("seed"), help="Of the noise, with --init noise.")
@click.option("--save-every", type=click.IntRange(1), metavar="N", help="Save the picture every N steps beside the result.")
@click.option("--sheet", is_flag=True, help="Save content, style, result and the loss curve side by side.")
@click.option("--sidecar", is_flag=True, help="Save the recipe beside the result too, as .json.")
@params.machine
@params.talk
def stylize_command(pictures: tuple[str, ...], **values: Any) -> int:
    """Repaint CONTENT in the style of STYLE, after Gatys et al. (2016).

    \b
    Examples:
      imgtool stylize photo.jpg painting.jpg -o out.png
      imgtool stylize photo.jpg painting.jpg --size 1024 --time 5m --sheet
      imgtool stylize photos/ --style a.jpg:0.7 --style b.jpg:0.3 -o painted/
      imgtool stylize photo.jpg painting.jpg --preserve-color --style-scale 1.5
    """
    contents, styles = _contents_and_styles(pictures, values["styles"])
    _require_pairs(styles, values["content_masks"], values["style_masks"])
    options = _options(values)
    beside = ["-sheet.png"] if values["sheet"] else []
    choice = params.output_choice(values, beside=beside + ["-step*.png"] if values["save_every"] else beside)
    jobs, skipped = batch.plan(contents, choice, command="stylize")
    # Nothing of the user's can be refused any more without torch.
    from imgtool.cli.stylize_work import StylizeWork

    def work() -> StylizeWork:
        return StylizeWork(options, styles, values)

    return batch.run(jobs, work, skipped=skipped, fail_fast=choice.fail_fast)


def _contents_and_styles(
    pictures: tuple[str, ...], styles: tuple[tuple[str, float], ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, float], ...]]:
    """Which positional pictures are contents; without --style the second of two is the style."""
    if not styles:
        if len(pictures) != 2:
            found = "no style" if len(pictures) == 1 else f"{len(pictures)} pictures and no --style"
            raise click.UsageError(f"{found}; give CONTENT and STYLE, or photos and --style FILE.")
        pictures, styles = pictures[:1], ((pictures[1], 1.0),)
    for name, weight in styles:
        if not Path(name).is_file():
            raise click.UsageError(f"style {name} does not exist or is no file.")
        if not 0 < weight < float("inf"):
            raise click.UsageError(f"weight of style {name} must be above 0, got {weight:g}.")
    return pictures, styles


def _require_pairs(styles: tuple[Any, ...], content_masks: tuple[str, ...], style_masks: tuple[str, ...]) -> None:
    if content_masks and len(styles) not in (1, len(content_masks)):
        raise click.UsageError(
            f"{len(content_masks)} --content-mask for {len(styles)} styles; give one for each style, or one style."
        )
    if style_masks and len(style_masks) != len(content_masks):
        raise click.UsageError(f"{len(style_masks)} --style-mask for {len(content_masks)} --content-mask; give pairs.")
    for mask in (*content_masks, *style_masks):
        if not Path(mask).is_file():
            raise click.UsageError(f"mask {mask} does not exist or is no file.")


def _options(values: dict[str, Any]) -> StylizeOptions:
    """The task's options, from those of the command that were given."""
    init, weights = values["init"], values["weights"]
    if init not in (None, *INITS) and not Path(init).is_file():
        raise OptionError("init", f"no file {init!r}, and none of {', '.join(INITS)}")
    if weights in STYLE_NETWORKS:
        raise OptionError("weights", f"{weights} is a network of its own", hint=f"--network {weights}")
    known = {field.name for field in fields(StylizeOptions)}
    given = {name: value for name, value in values.items() if name in known and value is not None}
    if given.get("size") == "full":
        given["size"] = None
    if "steps" not in given and "time" in given:
        given["steps"] = (UNLIMITED,)
    if len(given.get("steps", ())) > 1:
        given.setdefault("scales", len(given["steps"]))
    return StylizeOptions.of_recipe(**given)
