"""One step of the training of a style network, and how it is scored."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from imgtool.data.order import seen_in
from imgtool.data.picture_set import Pixels
from imgtool.imaging.grid import grid
from imgtool.imaging.picture import Picture
from imgtool.imaging.tensors import to_pixels
from imgtool.nn.style_net import StyleNet
from imgtool.nn.vgg import VGG
from imgtool.options.fast_style import STYLE_NET, TrainStyleOptions
from imgtool.runtime.checkpoints import described
from imgtool.runtime.device import Device
from imgtool.tasks.fast_objective import FastObjective, NamedStyle
from imgtool.tasks.fast_style import Painter
from imgtool.training.average import Averaged, MovingAverage
from imgtool.training.schedules import warm_cosine

SHOWN = 3  # photos of the sheet of samples
GAP = 4  # pixels between its pictures


class StyleTrainee(Averaged[StyleNet]):
    """A style network on its way: see `imgtool.training.loop.Trainee`.

    Args:
        photos: (N, S, S, 3) to train on.
        held_out: likewise, to score on.
        styles: at least one.
        options: see `TrainStyleOptions`.
        network: to begin with, see `new_network`.
        judge: a `VGG` with all layers of the options.
        device: where all is; in bf16 features are halved by autocast, the weights stay fp32.
    """

    def __init__(
        self,
        photos: Pixels,
        held_out: Pixels,
        styles: Sequence[NamedStyle],
        options: TrainStyleOptions,
        *,
        network: StyleNet,
        judge: VGG,
        device: Device,
    ) -> None:
        self.photos, self.styles, self.options, self.device = photos, styles, options, device
        self.held_out = self._images(held_out)
        styles = [NamedStyle(style.name, style.image.to(device.torch)) for style in styles]
        self.objective = FastObjective(styles, self.held_out, options, judge)
        self.network = device.placed(network).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=options.learning_rate)
        self.average = MovingAverage(self.network, options.average)
        self.mixes = torch.eye(len(styles), device=device.torch)

    def _images(self, pixels: Pixels) -> Tensor:
        """(N, 3, H, W) in [0, 1] on the device; grey ones get three channels."""
        planes = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device.torch).permute(0, 3, 1, 2)
        return planes.expand(-1, 3, -1, -1).float() / 255

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One step on some crops in every style; which crops depends on the seed and the number alone."""
        rate = self.options.learning_rate * warm_cosine(progress)
        photos = self._images(self.batch(number))
        terms = self.objective(self._painted(self.network, photos), self.objective.content(photos))
        self.descend(terms.total, rate, number)
        return {name: float(term.detach()) for name, term in terms.items()} | {"rate": rate}

    def _painted(self, network: StyleNet, photos: Tensor) -> Tensor:
        """Each photo in each style, (S * B, 3, H, W), one at a time as normalisation wants it."""
        with self.device.autocast():
            return torch.cat([network(photo[None], mix) for mix in self.mixes for photo in photos])

    def batch(self, number: int) -> Pixels:
        """The crops of one step, (B, crop, crop, 3), some mirrored."""
        options, crops = self.options, []
        for index, random in seen_in(number, options.batch, len(self.photos), seed=options.seed):
            top, left = random.integers(0, options.photo_size - options.crop + 1, 2)
            crop = self.photos[index, top : top + options.crop, left : left + options.crop]
            crops.append(crop[:, ::-1] if random.random() < 0.5 else crop)
        return np.stack(crops)

    @torch.no_grad()
    def score(self) -> Mapping[str, float]:
        """The objective of the averaged network on what is held out, negative so that more is better."""
        sums: dict[str, float] = {}
        for photo in self.held_out:
            painted = self._painted(self.average.network, photo[None])
            terms = self.objective(painted, self.objective.content(photo[None]))
            for name, term in {"-objective": -terms.total, **terms}.items():
                sums[name] = sums.get(name, 0.0) + float(term) / len(self.held_out)
        return sums

    @torch.no_grad()
    def samples(self) -> Mapping[str, Picture]:
        """A row for each of some photos that are held out: the photo, then it in each style."""
        shown = []
        for photo in self.held_out[:SHOWN]:
            painted = self._painted(self.average.network, photo[None])
            shown += [to_pixels(each[None]) for each in (photo, *painted)]
        return {"samples": grid(shown, columns=1 + len(self.styles), gap=GAP)}

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged weights in halves, and the names of the styles."""
        about = {"styles": [style.name for style in self.styles]}
        return described(self.average.network, STYLE_NET, style=about)


def new_network(styles: int, options: TrainStyleOptions) -> StyleNet:
    """A network with random weights (He et al. 2015)."""
    torch.manual_seed(options.seed)
    network = StyleNet(styles, width=options.width, blocks=options.blocks)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.nn.init.normal_(network.last.weight, std=0.05)
    return network


def started_from(network: StyleNet, styles: Sequence[str], start: Painter) -> StyleNet:
    """A network with the weights of another of its size.

    Styles of the same name have what they had, the others the mean of all.

    Args:
        network: to be changed.
        styles: what its own are called.
        start: the other.
    """
    known = {name: index for index, name in enumerate(start.styles)}
    state = {}
    for name, tensor in start.network.state_dict().items():
        rows = [tensor[known[style]] if style in known else tensor.mean(dim=0) for style in styles]
        state[name] = torch.stack(rows) if "_norm." in name else tensor
    network.load_state_dict(state)
    return network
