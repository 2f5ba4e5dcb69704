"""`imgtool score`: how good results are, by the measures of their field."""

from pathlib import Path
from typing import Any

import click

from imgtool.cli import params
from imgtool.cli.sources import exists, is_file, is_folder
from imgtool.files import check_writable, printable

HTML = (".html", ".htm")


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
@click.option(
    "--workers", type=click.IntRange(1, params.MAX_THREADS), help="Processes.  [default: all cores]"
)
@click.option(
    "-o",
    "--output",
    metavar="REPORT.html",
    type=click.Path(path_type=Path),
    help="Also write a page with the curve, all pictures, and the worst of them.",
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing report.")
@params.talk
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


def _require_free(output: Path, force: bool) -> None:
    """Refuse a report that could not be written, before the work that fills it."""
    if output.suffix.lower() not in HTML:
        raise click.UsageError(f"{printable(output)} is no page; name it {printable(output.stem)}.html.")
    if is_file(output) and not force:
        raise click.UsageError(f"{printable(output)} exists. Use --force to replace it.")
    check_writable(output)
