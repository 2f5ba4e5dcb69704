"""`imgtool run`: a file of steps, planned and checked, then done."""

import contextlib
import shlex
from collections.abc import Collection
from pathlib import Path

import click

from imgtool.cli import params, settings
from imgtool.cli.console import console
from imgtool.cli.run_plan import Journal, Plan, Task, stale
from imgtool.cli.run_steps import Step, read_pipeline
from imgtool.cli.sources import find_sources, is_file
from imgtool.files import printable


@click.command("run", short_help="Do the steps of a file, one command's results into the next.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("pictures", nargs=-1, metavar="[PICTURE…]", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Where results go, in a folder for each step.  [default: the file's name without suffix, here]",
)
@click.option("-n", "--dry-run", is_flag=True, help="Check everything, tell what would be done, and end.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Commands at once; they share the processor's cores.",
)
@click.option(
    "-f", "--force", is_flag=True, help="Make everything anew; replace files that are not of this run."
)
@click.option("--fail-fast", is_flag=True, help="Begin nothing more after the first failure.")
@params.ray
@params.talk
def run_command(
    file: str,
    pictures: tuple[str, ...],
    output: str | None,
    dry_run: bool,
    jobs: int,
    force: bool,
    fail_fast: bool,
    ray: str | None,
) -> int:
    """Do the steps of FILE on PICTURE…, or on the pictures that FILE names.

    FILE is TOML. Each step is a table with a command, its options as in settings, and the pictures it works on:
    {pictures}, as is usual, or the results of another step by its name. All is checked before the first step begins.
    Done again, only what is missing is made, or what was made of other files or with other options. Paths in FILE
    start from its folder.

    \b
    Examples:
      imgtool run steps.toml photos/ -o out/
      imgtool run steps.toml --dry-run
      imgtool run steps.toml photos/ --jobs 2 --json
    """
    folder = Path(output or Path(file).stem).absolute()
    given = [_absolute(text) for text in pictures]
    steps_file = Path(file).absolute()
    with contextlib.chdir(steps_file.parent):
        plan = _planned(Path(steps_file.name), given, folder)
        journal = Journal(plan.folder)
        if not force:
            _require_ours(plan, journal)
        due = stale(plan, journal, plan, anew=force)
        if ray is not None:
            from imgtool.cli.cluster import require_answer

            require_answer(ray)
        if dry_run:
            _tell(plan, due)
            return 0
        from imgtool.cli.run_work import Runner

        return Runner(plan, journal, jobs=jobs, fail_fast=fail_fast, anew=force, ray=ray).run()


def _absolute(text: str) -> str:
    """A path or pattern from the current folder; - stays what it is."""
    return text if text == "-" else str(Path(text).absolute())


def _planned(file: Path, given: list[str], folder: Path) -> Plan:
    """All that is to be made."""
    from imgtool.cli.main import cli

    context = click.get_current_context()
    parent = click.Context(cli, info_name="imgtool", auto_envvar_prefix=settings.PREFIX)
    parent.default_map = settings.load(cli.commands)  # as the commands will find them in that folder
    pipeline = read_pipeline(file, cli.commands)
    pictures = given or list(pipeline.pictures)
    if not pictures:
        raise click.UsageError(f"no pictures: name them after {printable(file)}, or in it.", context)
    sources = find_sources(pictures, recursive=pipeline.recursive, leave_out=folder)
    return Plan(pipeline, sources, _shown(folder), cli.commands, parent)


def _shown(folder: Path) -> Path:
    """A folder from the current one, if it lies inside: recipes and messages tell no more than they have to."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) and folder != here else folder


def _require_ours(plan: Plan, journal: Journal) -> None:
    """Refuse to replace what no run has made."""
    for task in plan:
        if is_file(task.output) and journal.key(task.output) is None:
            raise click.UsageError(f"{printable(task.output)} exists, and no run has made it. Use --force.")


def _tell(plan: Plan, due: Collection[Task]) -> None:
    """What would be done."""
    for step, tasks in plan.tasks.items():
        count = sum(task in due for task in tasks)
        where = tasks[0].output if tasks[0].joins else tasks[0].output.parent
        of = f" of {', '.join(step.pictures)}"
        console.say(
            f"{step.name}: {typed(step)}{of} -> {printable(where)}: {count} to do, {len(tasks) - count} done"
        )
        fields = {"step": step.name, "command": step.command, "options": list(step.options)}
        console.record({**fields, "to_do": count, "done": len(tasks) - count, "output": str(where)})


def typed(step: Step) -> str:
    """A step as it would be typed, without files."""
    return shlex.join(["imgtool", step.command, *step.options])
