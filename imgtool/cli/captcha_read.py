"""`imgtool captcha-read`: pictures in, their texts out."""

from functools import partial
from typing import Any

import click

from imgtool.cli import batch, params, settings, value_types
from imgtool.cli.sources import find_sources
from imgtool.options.captcha_reader import READER_WEIGHTS, CaptchaReadOptions
from imgtool.runtime import processor


@click.command("captcha-read", short_help="Read captchas in files.")
@click.argument("pictures", nargs=-1, required=True, metavar="IMAGE…", type=click.Path())
@params.weights(READER_WEIGHTS, "Which reader.")
@click.option(
    "--beam",
    type=int,
    default=CaptchaReadOptions.beam,
    show_default=True,
    metavar="N",
    help="Texts that are followed from left to right; 1 takes the best character of each place.",
)
@click.option(
    "--length",
    type=value_types.Span(int),
    help="Characters that the texts are known to have, such as 5 or 4-6; not with --beam 1.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails.")
@click.option("-r", "--recursive", is_flag=True, help="Look into sub-folders of folders.")
@params.machine
@params.talk
def captcha_read_command(
    pictures: tuple[str, ...],
    beam: int,
    length: tuple[int, int] | None,
    fail_fast: bool,
    recursive: bool,
    **values: Any,
) -> int:
    """Print what IMAGE says, how sure that is, and which file it is: a line each, with tabs between.

    IMAGE is a captcha, or another picture of one line of text; a folder, a pattern or - for stdin. How sure it is is
    the probability that the reader gives to the text. It reads files only. The reader that comes with imgtool knows
    the upper case letters and digits that captcha-gen draws; train-captcha makes others.

    \b
    Examples:
      imgtool captcha-read captcha.png
      imgtool captcha-read set/ --length 5 --json | jq -r .text
      imgtool captcha-read mine/*.png --weights runs/mine
    """
    with settings.origins_told(click.get_current_context()):
        options = CaptchaReadOptions(beam=beam, length=length)
    jobs = [batch.Job(source, {}) for source in find_sources(pictures, recursive=recursive)]
    processor.wait_briefly()
    from imgtool.cli.captcha_read_work import ReadWork
    from imgtool.cli.elsewhere import spread

    also_read = [] if values["weights"] in READER_WEIGHTS else [values["weights"]]
    work = spread(partial(ReadWork, options, values), jobs, values, also_read)
    return batch.run(jobs, work, fail_fast=fail_fast)
