"""Measure what `imgtool stylize --keep-edges` keeps: how near a result's edges are to those of the photo.

    python benchmarks/keep_edges.py
    python benchmarks/keep_edges.py --content PHOTO --style PAINTING --weights 0,1,4 --keep FOLDER

The judge is `hed`, whose maps are not those that are minimised. Results are kept in benchmarks/README.md.
"""

import time
from pathlib import Path

import click
import numpy as np

from imgtool import edges, stylize

EXAMPLES = Path(__file__).parent.parent / "examples"
EDGE = 0.5  # probability above which a pixel is one


@click.command()
@click.option("--content", type=click.Path(exists=True, path_type=Path), default=EXAMPLES / "chelsea.jpg")
@click.option("--style", type=click.Path(exists=True, path_type=Path), default=EXAMPLES / "night.jpg")
@click.option("--size", default=256, show_default=True)
@click.option("--steps", default="50,100", show_default=True)
@click.option("--weights", default="0,1,4", show_default=True, help="Of --keep-edges.")
@click.option("--judge", default="hed", show_default=True, help="Weights of an edge detector.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for the pictures.")
def bench(
    content: Path, style: Path, size: int, steps: str, weights: str, judge: str, keep: Path | None
) -> None:
    """Mean difference of edge probabilities, F of those above a half, and processor time."""
    numbers = tuple(int(number) for number in steps.split(","))
    # Without a style, a photo is its own result at this size.
    photo = stylize(content, style, size=size, steps=0, scales=1).image
    wanted = edges(photo, weights=judge, kind="fuse").probabilities
    for weight in weights.split(","):
        began = time.process_time()
        made = stylize(
            content, style, size=size, steps=numbers, scales=len(numbers), keep_edges=float(weight)
        )
        seconds = time.process_time() - began
        found = edges(made.image, weights=judge, kind="fuse").probabilities
        both = ((found > EDGE) & (wanted > EDGE)).sum()
        agreement = 2 * both / max(1, (found > EDGE).sum() + (wanted > EDGE).sum())
        difference = float(np.abs(found - wanted).mean())
        print(
            f"--keep-edges {weight}: mean difference {difference:.3f}, F {agreement:.3f}, {seconds:.1f} s",
            flush=True,
        )
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            made.save(keep / f"{content.stem}-{style.stem}-{weight}.png")


if __name__ == "__main__":
    bench()
