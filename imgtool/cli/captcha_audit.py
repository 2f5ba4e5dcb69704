"""`imgtool captcha-audit`: how often a machine reads captchas of a style."""

from pathlib import Path
from typing import Any

import click

from imgtool.cli import params, settings, value_types
from imgtool.cli.captcha_sources import places_of
from imgtool.options.captcha_reader import READER_WEIGHTS, AuditOptions
from imgtool.runtime import processor


@click.command("captcha-audit", short_help="Measure how strong captchas are.")
@click.argument("sources", nargs=-1, required=True, metavar="LEVEL|STYLE.toml|DIR…", type=click.Path())
@click.option(
    "-n",
    "--count",
    type=int,
    default=AuditOptions.count,
    show_default=True,
    help="Captchas that are drawn, or of DIR are taken, to be read.",
)
@click.option(
    "--train",
    type=value_types.Seconds(),
    metavar="TIME",
    help="Also train the reader for this style so long, and try again.",
)
@click.option(
    "-o",
    "--output",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Keep what --train trains.  [default: it is thrown away]",
)
@params.weights(READER_WEIGHTS, "Which reader tries, and is trained.")
@click.option("--beam", type=int, default=AuditOptions.beam, show_default=True, help="As of captcha-read.")
@click.option("--seed", type=int, default=AuditOptions.seed, show_default=True, help="Of what is drawn.")
@params.compute_with(threads=1)  # the network is too small to share, and drawing has a thread of its own
@params.talk
def captcha_audit_command(sources: tuple[str, ...], output: Path | None, **values: Any) -> int:
    """Tell how many captchas of a style a program reads: text captchas are weak, and here is how weak.

    LEVEL is easy, medium or hard; STYLE.toml is what captcha-gen --save-config writes; DIR is a folder of captchas
    with labels.jsonl or labels.csv. The rate comes with its 95 % interval (Wilson), and beside it stands how legible
    the glyphs are for people: their contrast, and how much of their ink is visible. The reader knows how long the
    texts may be; upper and lower case count as one. It works on files and folders only.

    \b
    Examples:
      imgtool captcha-audit medium
      imgtool captcha-audit easy medium hard --json
      imgtool captcha-audit mine.toml --train 10m
      imgtool captcha-audit collected/ --train 5m -o runs/attacker
    """
    with settings.origins_told(click.get_current_context()):
        options = AuditOptions(**{name: values[name] for name in ("count", "train", "beam", "seed")})
    for source in sources:
        places_of((source,))
    if output is not None and options.train is None:
        raise click.UsageError("-o keeps what --train trains; there is no --train.")
    if output is not None and len(sources) > 1:
        raise click.UsageError("-o keeps what --train trains for one style; give one.")
    processor.wait_briefly()
    from imgtool.cli.captcha_audit_work import audit

    return audit(sources, output, options, values)
