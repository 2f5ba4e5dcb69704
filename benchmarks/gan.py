"""Measure `imgtool train-gan` against the textbook: DCGAN as every tutorial has it.

    apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb fashion
    python benchmarks/gan.py --data fashion/usr/share/datasets/fashion-mnist space -o SPACE
    python benchmarks/gan.py --data … compare SPACE --seconds 60
    python benchmarks/gan.py --data … count SPACE --images 120000
    python benchmarks/gan.py --data … speed --rounds 5

The textbook is PyTorch's own example (Radford et al. 2015) at 32 pixels: 64 channels, fp32, batch normalisation
in both networks, binary cross-entropy, Adam(2e-4; 0.5, 0.999), real and generated pictures judged apart. Distances
are Fréchet distances of 10,000 samples to the 10,000 test pictures, in the features of a classifier that `space`
trains; pictures of 28 pixels get a black border. Times are wall time of this machine.
Results are printed as rows of the table in benchmarks/README.md.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import torch
from measure import IMGTOOL, ratio, run
from torch import Tensor, nn

from imgtool.data.picture_set import PictureSet, read_picture_set
from imgtool.metrics.images import Moments, frechet_distance, neighbourhood
from imgtool.nn.gan import GanShape
from imgtool.options.gan import TrainGanOptions
from imgtool.runtime import processor
from imgtool.runtime.device import select_device
from imgtool.runtime.registry import find_weights
from imgtool.tasks.picture_features import FeatureSpace, space_of
from imgtool.tasks.sample_gan import latents, load_generator
from imgtool.tasks.train_gan import GanTrainee

TRAIN, TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"
SIZE, BATCH, LATENT, WIDTH = 32, 64, 100, 64
SAMPLES, TOGETHER = 10_000, 250
WARM = 5  # steps


@click.group()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Fashion-MNIST as IDX files.")
@click.pass_context
def bench(ctx: click.Context, data: Path) -> None:
    """Benchmarks of adversarial training."""
    ctx.obj = data


class Textbook:
    """The loop of the tutorials."""

    def __init__(self, pictures: PictureSet, seed: int) -> None:
        torch.manual_seed(seed)
        self.pixels, self.seen = torch.from_numpy(pictures.pixels).permute(0, 3, 1, 2), 0
        self.generator, self.critic = _textbook_generator(), _textbook_critic()
        self.loss = nn.BCELoss()
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.critic, self.generator)
        ]

    def step(self, progress: float = 0.0) -> None:
        """Both networks once."""
        if self.seen % len(self.pixels) + BATCH > len(self.pixels) or not self.seen:
            self.order = torch.randperm(len(self.pixels))
            self.seen += -self.seen % len(self.pixels)
        start = self.seen % len(self.pixels)
        real = self.pixels[self.order[start : start + BATCH]].float() / 127.5 - 1
        self.seen += BATCH
        ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
        self.critic.zero_grad()
        self.loss(self.critic(real), ones).backward()
        fake = self.generator(torch.randn(BATCH, LATENT, 1, 1))
        self.loss(self.critic(fake.detach()), zeros).backward()
        self.optimizers[0].step()
        self.generator.zero_grad()
        error = self.loss(self.critic(fake), ones)
        error.backward()
        self.optimizers[1].step()
        error.item()  # which is printed

    def draw(self, latent: Tensor) -> Tensor:
        """Pictures in [0, 1]."""
        images: Tensor = self.generator(latent[..., None, None]) * 0.5 + 0.5
        return images


def _textbook_generator() -> nn.Module:
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, WIDTH * 4, 4, 1, 0, bias=False)]
    for before, after in ((WIDTH * 4, WIDTH * 2), (WIDTH * 2, WIDTH)):
        layers += [nn.BatchNorm2d(before), nn.ReLU(True)]
        layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
    layers += [nn.BatchNorm2d(WIDTH), nn.ReLU(True)]
    layers += [nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers).apply(_begin)


def _textbook_critic() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in ((WIDTH, WIDTH * 2), (WIDTH * 2, WIDTH * 4)):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after)]
        layers.append(nn.LeakyReLU(0.2, True))
    layers += [nn.Conv2d(WIDTH * 4, 1, 4, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(0)]
    return nn.Sequential(*layers).apply(_begin)


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Ours:
    """The loop of `train-gan`, without its files."""

    def __init__(self, pictures: PictureSet, seed: int, recipe: str = "default") -> None:
        torch.manual_seed(seed)
        options = TrainGanOptions.of_recipe(recipe, seed=seed)
        shape = GanShape(size=SIZE, channels=1, width=options.width, critic_norm=options.critic_norm)
        self.trainee = GanTrainee(pictures, options, shape=shape, device=select_device("cpu", "auto"))

    def step(self, progress: float = 0.0) -> None:
        """Both networks once."""
        self.trainee.step(self.trainee.done, progress)

    def draw(self, latent: Tensor) -> Tensor:
        """Pictures in [0, 1]."""
        images: Tensor = self.trainee.average.network(latent)
        return images


class Judge:
    """Distances to the test pictures."""

    def __init__(self, data: Path, space: Path) -> None:
        device = select_device("cpu", "fp32")
        self.space: FeatureSpace = space_of(find_weights(str(space)), device)
        self.real = self.space(read_picture_set(data / TEST, size=SIZE, fit="pad").pixels)
        train = read_picture_set(data / TRAIN, size=SIZE, fit="pad").pixels
        self.floor = self.distance(self.space(train[: len(self.real)]))

    def distance(self, features: np.ndarray) -> float:
        """To the test pictures."""
        return frechet_distance(Moments.of(self.real), Moments.of(features))

    @torch.inference_mode()
    def __call__(self, draw: Callable[[Tensor], Tensor]) -> str:
        """What there is to say about 10,000 samples, beginning with their distance."""
        found = []
        for start in range(0, SAMPLES, TOGETHER):
            images = draw(latents(1, range(start, start + TOGETHER), LATENT)).float()
            found.append(self.space.of_images((images * 255).round() / 255).numpy())
        features = np.concatenate(found)
        around = neighbourhood(self.real[:2000], features[:2000])
        return f"{self.distance(features):.1f}, recall {around.recall:.2f}, coverage {around.coverage:.2f}"

    def of_run(self, place: Path) -> str:
        """Of a run's averaged generator as it is used."""
        generator, _ = load_generator(find_weights(str(place)), select_device("cpu", "fp32"))
        return self(generator)


@bench.command()
@click.option("-o", "--output", required=True)
@click.pass_obj
def space(data: Path, output: str) -> None:
    """The features in which all is compared."""
    run(*IMGTOOL, "train-features", str(data / TRAIN), "-o", output, "--fit", "pad")
    device = select_device("cpu", "fp32")
    from imgtool.nn.classifier import Classifier, ClassifierShape
    from imgtool.tasks.load import load_described

    network, _ = load_described(
        find_weights(output), "classifier", lambda about: Classifier(ClassifierShape.of(about["shape"]))
    )
    test = read_picture_set(data / TEST, size=SIZE, fit="pad", classes=True)
    images = torch.from_numpy(test.pixels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        told = torch.cat([network(part.float() / 255).argmax(1) for part in torch.split(images, TOGETHER)])
    right = float((told.numpy() == test.labels).mean())
    print(f"| accuracy of the classifier on the test pictures, {device.torch} | `space` | **{right:.1%}** |")


def _ours(data: Path, *more: str) -> Iterator[Path]:
    """A run of the command, for as long as it is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        never = ("--score-every", "100000000")
        run(*IMGTOOL, "train-gan", str(data / TRAIN), "-o", str(place), "--fit", "pad", *never, *more)
        yield place


CLOCKS = {"wall": time.monotonic, "processor": time.process_time}


@bench.command()
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--threads", type=int, help="[default: all cores]")
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--side", type=click.Choice(["both", "ours", "textbook"]), default="both")
@click.pass_obj
def compare(
    data: Path, space: Path, seconds: float, seeds: str, threads: int | None, clock: str, side: str
) -> None:
    """Distance after the same time, the textbook and ours in turns, both with our settings of memory."""
    processor.prepare(threads)
    judge = Judge(data, space)
    print(f"| real training pictures | {judge.space.name} | {judge.floor:.2f} |", flush=True)
    pictures = read_picture_set(data / TRAIN, size=SIZE, fit="pad")
    both: dict[str, list[float]] = {"textbook": [], "ours": []}
    for seed in map(int, seeds.split(",")):
        for name in both if side == "both" else [side]:
            trained = (Textbook if name == "textbook" else Ours)(pictures, seed)
            began, done = CLOCKS[clock](), 0
            while (spent := CLOCKS[clock]() - began) < seconds:
                trained.step(spent / seconds)
                done += BATCH
            found = judge(trained.draw)
            both[name].append(float(found.split(",")[0]))
            print(f"| {name}, seed {seed} | {done} images, {done / seconds:.0f}/s | {found} |", flush=True)
    if side == "both":
        ratios = [slow / fast for slow, fast in zip(both["textbook"], both["ours"], strict=True)]
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"| ratio of distances | **{statistics.median(ratios):.1f}x** ({spread}) |")


@bench.command()
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--images", default=120_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--batch", default=BATCH, show_default=True)
@click.option("--more", default="", help="Further options of train-gan, in one word.")
@click.pass_obj
def count(data: Path, space: Path, images: int, seed: int, batch: int, more: str) -> None:
    """Distance after so many pictures, which no speed has a part in."""
    judge = Judge(data, space)
    steps = ("--steps", str(images // batch), "--batch", str(batch), "--seed", str(seed))
    for place in _ours(data, *steps, *more.split()):
        print(f"| {images} images, seed {seed} {more} | {judge.of_run(place)}; floor {judge.floor:.2f} |")


@bench.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--steps", default=40, show_default=True)
@click.pass_obj
def speed(data: Path, rounds: int, steps: int) -> None:
    """Seconds of the same steps on the same network, a process each: the textbook and `--recipe dcgan2015`."""
    found: dict[str, list[float]] = {"textbook": [], "ours": []}
    for _ in range(rounds):
        for name, seconds in found.items():
            child = [sys.executable, __file__, "--data", str(data), "side", name, "--steps", str(steps)]
            seconds.append(float(run(*child)))
    words = ratio(found["textbook"], found["ours"])
    rate = steps * BATCH / statistics.median(found["ours"])
    print(f"| textbook against ours, {steps} steps of {BATCH} | `speed` | {words}, {rate:.0f} images/s |")


@bench.command(hidden=True)
@click.argument("name")
@click.option("--steps", type=int)
@click.pass_obj
def side(data: Path, name: str, steps: int) -> None:
    """Seconds of some steps, after a few that warm up."""
    pictures = read_picture_set(data / TEST, size=SIZE, fit="pad")
    if name == "ours":
        processor.prepare()
    trained = Textbook(pictures, 0) if name == "textbook" else Ours(pictures, 0, "dcgan2015")
    for number in range(steps + WARM):
        if number == WARM:
            began = time.perf_counter()
        trained.step()
    print(time.perf_counter() - began)


if __name__ == "__main__":
    bench()
