"""`imgtool score`: how good results are, by the measures of their field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from imgtool.cli import params
from imgtool.cli.naming import require_place
from imgtool.cli.sources import STREAM, exists, is_folder
from imgtool.files import printable
from imgtool.options.gan import GAN_FITS, TrainGanOptions

HTML = (".html", ".htm")


def work_and_report(shown: str) -> Callable[[params.F], params.F]:
    """--workers, -o, --force and what all commands have; `shown` is on the report's page."""
    return params.together(
        click.option(
            "--workers", type=click.IntRange(1, params.MAX_THREADS), help="Processes.  [default: all cores]"
        ),
        click.option(
            "-o",
            "--output",
            metavar="REPORT.html",
            type=click.Path(path_type=Path),
            help=f"Also write a page with {shown}.",
        ),
        click.option("-f", "--force", is_flag=True, help="Replace an existing report."),
        params.talk,
    )


@click.group("score", epilog="Try: imgtool score edges maps/ groundTruth/")
def score_group() -> None:
    """Measure how good results are, against ground truth."""


@score_group.command("edges", short_help="Score maps of edges: ODS, OIS, AP.")
@click.argument("predicted", metavar="PRED", type=click.Path(path_type=Path))
@click.argument("truth", metavar="GT", type=click.Path(path_type=Path))
@click.option("--no-nms", is_flag=True, help="The maps are thin already.")
@click.option("--invert", is_flag=True, help="Edges are black on white.")
@click.option(
    "--thresholds",
    type=click.IntRange(1, 1000),
    default=99,
    show_default=True,
    help="At how many maps are cut; fewer are faster.",
)
@work_and_report("the curve, all pictures, and the worst of them")
def edges_command(predicted: Path, truth: Path, output: Path | None, force: bool, **values: Any) -> None:
    """Score the maps of edges in PRED against the boundaries in GT.

    By the benchmark of Berkeley (BSDS500): maps are thinned, cut at 99 thresholds, and matched pixel by pixel with
    each annotator. A map is a picture, white where an edge is; ground truth is a .mat file of BSDS500, or a picture,
    white where an edge is. Both are found by name: maps/100007.png goes with groundTruth/100007.mat.

    \b
    Examples:
      imgtool score edges maps/ BSDS500/data/groundTruth/test
      imgtool score edges maps/ truth/ -o report.html
      imgtool score edges maps/ truth/ --json | jq .summary.ods
    """
    for folder in (predicted, truth):
        if not is_folder(folder):
            found = "is a file" if exists(folder) else "does not exist"
            raise click.UsageError(f"{printable(folder)} {found}, expected a folder.")
    if output is not None:
        _require_free(output, force)
    from imgtool.cli.score_edges_work import score

    score(predicted, truth, output=output, **values)


@score_group.command("masks", short_help="Score masks: V-Rand, Dice, IoU, objects found.")
@click.argument("predicted", metavar="PRED", type=click.Path(path_type=Path))
@click.argument("truth", metavar="GT", type=click.Path(path_type=Path))
@click.option("--invert", is_flag=True, help="A probability is that of the lower of two values.")
@click.option(
    "--objects/--classes",
    default=None,
    help="Whether each value of the ground truth is one object, or a class.  [default: by how many and where]",
)
@work_and_report("all pictures, and the worst of them")
def masks_command(predicted: Path, truth: Path, output: Path | None, force: bool, **values: Any) -> None:
    """Score the masks or probabilities in PRED against the masks in GT: two folders, or two files.

    By what GT holds. Two values, such as 255 for cells and 0 for the borders between them: V-Rand and V-Info as in
    the ISBI challenge of 2012, pixel error, Dice and IoU; PRED is a mask, or the probability of the higher value.
    Several values or colours: pixel error, Dice and IoU of each class. A number for each object: average precision,
    precision and recall of objects, Dice; PRED has numbers too, or is a mask whose regions are the objects.

    Files are PNG, TIFF or .npy and found by name: masks/07.png, or masks/07-probability.png as `imgtool segment`
    calls it, goes with truth/07.png or truth/07_mask.png.

    \b
    Examples:
      imgtool score masks masks/ truth/
      imgtool score masks membrane/ labels/ --invert -o report.html
      imgtool score masks nuclei/ truth/ --objects --json | jq .summary.ap
    """
    for path in (predicted, truth):
        if not exists(path):
            raise click.UsageError(f"{printable(path)} does not exist.")
    if is_folder(predicted) != is_folder(truth):
        folder, file = (predicted, truth) if is_folder(predicted) else (truth, predicted)
        found = f"{printable(folder)} is a folder, {printable(file)} a file"
        raise click.UsageError(f"{found}; expected two of a kind.")
    if output is not None:
        _require_free(output, force)
    from imgtool.cli.score_masks_work import score

    score(predicted, truth, output=output, **values)


@score_group.command("images", short_help="Compare two sets of pictures, such as real and generated ones.")
@click.argument("real", metavar="REAL", type=click.Path(path_type=Path))
@click.argument("fake", metavar="FAKE", type=click.Path(path_type=Path))
@click.option(
    "--size",
    type=click.IntRange(8, 1024),
    default=64,
    show_default=True,
    help="Side that all are brought to.",
)
@click.option(
    "--fit",
    type=click.Choice(GAN_FITS),
    default="crop",
    show_default=True,
    help="The middle square, or all of it.",
)
@click.option(
    "--features",
    metavar="NAME|RUN|FILE",
    default=TrainGanOptions.features,
    show_default=True,
    help="Whose features: alexnet, a run of train-features, or the weights of FID (extra fid).",
)
@click.option(
    "--train",
    metavar="SET",
    type=click.Path(path_type=Path),
    help="Other real pictures, such as those that were trained on: their distance to REAL is the floor.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@click.option(
    "-o", "--output", metavar="REPORT.html", type=click.Path(path_type=Path), help="Also write a page."
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing report.")
@params.compute
@params.talk
def images_command(real: Path, fake: Path, output: Path | None, force: bool, **values: Any) -> None:
    """Tell how far the pictures in FAKE are from those in REAL: folders, zips, tars, IDX, .npy or .npz.

    The Fréchet distance of their features with a bootstrap interval, and the floor, which is as near as can be: the
    distance of --train to REAL, or without it that of two halves of REAL; precision (fakes that lie among real ones),
    recall and coverage (real ones that are reached). Features are AlexNet's last (fetched once) unless --features
    names a space of your own; it is named in the result, and numbers of another space, such as FID, must not be
    compared with it.

    \b
    Examples:
      imgtool score images photos/ samples/
      imgtool score images t10k-images-idx3-ubyte.gz samples/ --size 32 --fit pad --json
      imgtool score images held-out/ samples/ --train photos/
    """
    if output is not None:
        _require_free(output, force)
    from imgtool.cli.score_images_work import score

    score(real, fake, output=output, values=values)


def _require_free(output: Path, force: bool) -> None:
    """Refuse a report that could not be written, before the work that fills it."""
    if str(output) == STREAM:
        raise click.UsageError("a report is a file, and stdout has the scores; use -o report.html.")
    if output.suffix.lower() not in HTML:
        better = printable(output.with_suffix(".html"))
        raise click.UsageError(f"{printable(output)} is no page; name it {better}.")
    require_place(output, force=force)
