"""Generators and discriminators: DCGAN, and small residual networks."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softmax
from torch.nn.utils.parametrizations import spectral_norm

from imgtool.options.gan import GAN_ARCHS, GAN_NORMS

MOMENTUM, EPSILON = 0.1, 1e-5  # of switchable normalisation, as of torch's others
START = 4  # pixels of a side at which a generator begins, and a discriminator ends


@dataclass(frozen=True)
class GanShape:
    """All that decides which tensors the two networks have.

    Attributes:
        size: side of pictures, a power of two.
        channels: 1 for grey, 3 for RGB.
        latent: numbers that a picture is made of.
        classes: that can be asked for; 0 for none.
        arch: "dcgan" or "resnet".
        width, max_width: channels at half the size, and the most there may be.
        norm, critic_norm: see `normalised`; "spectral" is of weights, not of features.
        attention: self-attention at 16 pixels (resnet).
        squeeze: squeeze-and-excitation in each block (resnet).
    """

    size: int = 32
    channels: int = 3
    latent: int = 100
    classes: int = 0
    arch: str = "dcgan"
    width: int = 32
    max_width: int = 512
    norm: str = "batch"
    critic_norm: str = "spectral"
    attention: bool = False
    squeeze: bool = False

    @property
    def widths(self) -> list[int]:
        """Channels from `START` pixels up to half the size."""
        doublings = int(math.log2(self.size / START))
        return [min(self.max_width, self.width << step) for step in reversed(range(doublings))]

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "GanShape":
        """The shape that a file tells.

        Raises:
            ValueError: it is none.
        """
        try:
            shape = cls(**found)
            whole = [shape.size, shape.channels, shape.latent, shape.classes, shape.width, shape.max_width]
            if not all(isinstance(each, int) and 0 <= each <= 8192 for each in whole):
                raise ValueError("a size is no number from 0 to 8192")
            if shape.size < 2 * START or shape.size & (shape.size - 1) or 0 in whole[1:3] + whole[4:]:
                raise ValueError(f"size {shape.size} is no power of two, or a width is 0")
            known = shape.arch in GAN_ARCHS and {shape.norm, shape.critic_norm} <= {*GAN_NORMS}
            if shape.channels not in (1, 3) or not known:
                raise ValueError("channels, an architecture or a normalisation that do not exist")
        except TypeError as error:
            raise ValueError(str(error)) from error
        return shape


class SwitchableNorm(nn.Module):
    """A learnt mixture of the statistics of each picture's channel, of each picture, and of the batch.

    Reference:
        Luo et al. 2018, https://arxiv.org/abs/1806.10779
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.mean_mix, self.variance_mix = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        variance, mean = torch.var_mean(features.float(), dim=(2, 3), keepdim=True, correction=0)
        of_picture = _joined(mean, variance, dim=1)
        if self.training:
            of_batch = _joined(mean, variance, dim=0)
            with torch.no_grad():
                self.running_mean.lerp_(of_batch[0].flatten(), MOMENTUM)
                self.running_var.lerp_(of_batch[1].flatten(), MOMENTUM)
        else:
            of_batch = self.running_mean.view(1, -1, 1, 1), self.running_var.view(1, -1, 1, 1)
        a, b = softmax(self.mean_mix, 0), softmax(self.variance_mix, 0)
        mixed_mean = a[0] * mean + a[1] * of_picture[0] + a[2] * of_batch[0]
        mixed_variance = b[0] * variance + b[1] * of_picture[1] + b[2] * of_batch[1]
        scale = self.weight.view(1, -1, 1, 1) * torch.rsqrt(mixed_variance + EPSILON)
        found = (features - mixed_mean) * scale + self.bias.view(1, -1, 1, 1)
        return found.to(features.dtype)


def _joined(mean: Tensor, variance: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of equally large groups together, from those of each."""
    whole = mean.mean(dim=dim, keepdim=True)
    return whole, (variance + (mean - whole).square()).mean(dim=dim, keepdim=True)


def normalised(kind: str, channels: int) -> nn.Module:
    """The normalisation of features: "none" and "spectral" leave them as they are."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(channels, max(1, channels // 8)), channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    return SwitchableNorm(channels) if kind == "switchable" else nn.Identity()


def weighted(kind: str, layer: nn.Module) -> nn.Module:
    """A layer, with its largest singular value kept at 1 if that is the normalisation (Miyato et al. 2018)."""
    return spectral_norm(layer) if kind == "spectral" else layer


class SelfAttention(nn.Module):
    """Each place sees all others (Zhang et al. 2018, https://arxiv.org/abs/1805.08318), but not at first."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        inside = max(1, channels // 8)
        self.query = weighted(norm, nn.Conv2d(channels, inside, 1))
        self.key = weighted(norm, nn.Conv2d(channels, inside, 1))
        self.value = weighted(norm, nn.Conv2d(channels, channels, 1))
        self.share = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        query, key, value = (part(features).flatten(2) for part in (self.query, self.key, self.value))
        seen = softmax(query.transpose(1, 2) @ key, dim=-1)  # (N, HW, HW)
        attended: Tensor = value @ seen.transpose(1, 2)
        return features + self.share * attended.view_as(features)


class Squeeze(nn.Module):
    """Channels weighted by what the whole picture holds (Hu et al. 2017, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(4, channels // 8)
        self.gate = nn.Sequential(
            nn.Linear(channels, inside), nn.ReLU(), nn.Linear(inside, channels), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        gate: Tensor = self.gate(features.mean(dim=(2, 3)))
        return features * gate[..., None, None]


class UpBlock(nn.Module):
    """A residual block that doubles the side."""

    def __init__(self, before: int, after: int, shape: GanShape) -> None:
        super().__init__()
        kind = shape.norm
        self.norm1, self.norm2 = normalised(kind, before), normalised(kind, after)
        self.conv1 = weighted(kind, nn.Conv2d(before, after, 3, padding=1))
        self.conv2 = weighted(kind, nn.Conv2d(after, after, 3, padding=1))
        self.skip = weighted(kind, nn.Conv2d(before, after, 1))
        self.squeeze = Squeeze(after) if shape.squeeze else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', 2H, 2W)."""
        inner = interpolate(self.norm1(features).relu(), scale_factor=2.0, mode="nearest")
        inner = self.squeeze(self.conv2(self.norm2(self.conv1(inner)).relu()))
        # A 1x1 convolution and doubling may change places, and there are four times fewer pixels before it.
        return inner + interpolate(self.skip(features), scale_factor=2.0, mode="nearest")  # type: ignore[no-any-return]


class DownBlock(nn.Module):
    """A residual block that halves the side."""

    def __init__(self, before: int, after: int, shape: GanShape, *, first: bool = False) -> None:
        super().__init__()
        kind = shape.critic_norm
        self.first = first
        self.norm1 = nn.Identity() if first else normalised(kind, before)
        self.norm2 = normalised(kind, after)
        self.conv1 = weighted(kind, nn.Conv2d(before, after, 3, padding=1))
        self.conv2 = weighted(kind, nn.Conv2d(after, after, 3, padding=1))
        self.skip = weighted(kind, nn.Conv2d(before, after, 1))
        self.squeeze = Squeeze(after) if shape.squeeze else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H/2, W/2)."""
        inner = features if self.first else self.norm1(features).relu()
        inner = self.squeeze(self.conv2(self.norm2(self.conv1(inner)).relu()))
        return avg_pool2d(inner, 2) + self.skip(avg_pool2d(features, 2))  # type: ignore[no-any-return]


class Generator(nn.Module):
    """Random numbers to pictures.

    Attributes:
        shape: which network it is.
    Reference:
        Radford et al. 2015, https://arxiv.org/abs/1511.06434, for "dcgan"; Gulrajani et al. 2017 for "resnet".
    """

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        self.shape = shape
        widths, kind = shape.widths, shape.norm
        inputs = shape.latent
        if shape.classes:
            self.embedding = nn.Embedding(shape.classes, shape.latent)
            inputs *= 2
        self.start = weighted(kind, nn.Linear(inputs, widths[0] * START * START))
        self.start_norm = normalised(kind, widths[0]) if shape.arch == "dcgan" else nn.Identity()
        blocks: list[nn.Module] = []
        for index, before in enumerate(widths):
            after = widths[index + 1] if index + 1 < len(widths) else widths[-1]
            if shape.arch == "resnet":
                blocks.append(UpBlock(before, after, shape))
                if shape.attention and START << (index + 1) == 16:
                    blocks.append(SelfAttention(after, kind))
            elif index + 1 < len(widths):
                up = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=kind in ("none", "spectral"))
                blocks += [weighted(kind, up), normalised(kind, after), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        if shape.arch == "resnet":
            self.last_norm = normalised(kind, widths[-1])
            self.last = weighted(kind, nn.Conv2d(widths[-1], shape.channels, 3, padding=1))
        else:
            self.last_norm = nn.Identity()
            self.last = weighted(kind, nn.ConvTranspose2d(widths[-1], shape.channels, 4, 2, 1))
        self.apply(_begin)

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures.

        Args:
            latent: (N, Z), normally distributed.
            labels: (N,) integers, if the network knows classes; or (N, classes) shares, for what lies between some.
        Returns:
            (N, C, size, size) in [0, 1].
        """
        if self.shape.classes:
            assert labels is not None
            mixed = labels @ self.embedding.weight if labels.is_floating_point() else self.embedding(labels)
            latent = torch.cat([latent, mixed], dim=1)
        features = self.start(latent).view(len(latent), -1, START, START)
        features = features.to(memory_format=torch.channels_last)
        if self.shape.arch == "dcgan":
            features = self.start_norm(features).relu()
        features = self.last_norm(self.blocks(features))
        if self.shape.arch == "resnet":
            features = features.relu()
        return torch.tanh(self.last(features)) * 0.5 + 0.5


class Discriminator(nn.Module):
    """Pictures to logits of being real; with classes, of being real and of the class (Miyato & Koyama 2018)."""

    def __init__(self, shape: GanShape) -> None:
        super().__init__()
        self.shape = shape
        kind, widths = shape.critic_norm, [shape.channels, *reversed(shape.widths)]
        blocks: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(widths)):
            if shape.arch == "resnet":
                blocks.append(DownBlock(before, after, shape, first=index == 0))
                if shape.attention and shape.size >> (index + 1) == 16:
                    blocks.append(SelfAttention(after, kind))
                continue
            bias = index == 0 or kind in ("none", "spectral")
            blocks.append(weighted(kind, nn.Conv2d(before, after, 4, 2, 1, bias=bias)))
            if index:
                blocks.append(normalised(kind, after))
            blocks.append(nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(*blocks)
        inside = START if shape.arch == "dcgan" else 1
        self.last = weighted(kind, nn.Linear(widths[-1] * inside * inside, 1))
        if shape.classes:
            self.projection = weighted(kind, nn.Embedding(shape.classes, widths[-1]))
        self.apply(_begin)

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits.

        Args:
            image: (N, C, size, size) in [0, 1].
            labels: (N,) integers, if the network knows classes.
        Returns:
            (N,).
        """
        features = self.blocks((image * 2 - 1).to(memory_format=torch.channels_last))
        pooled = features.relu().sum(dim=(2, 3)) if self.shape.arch == "resnet" else features.mean(dim=(2, 3))
        seen = pooled if self.shape.arch == "resnet" else features.flatten(1)
        logits: Tensor = self.last(seen).squeeze(1)
        if self.shape.classes:
            assert labels is not None
            logits = logits + (self.projection(labels) * pooled).sum(dim=1)
        return logits.float()


def _begin(module: nn.Module) -> None:
    """Radford et al. 2015: weights from a normal distribution of deviation 0.02; scales around 1."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        if hasattr(module, "parametrizations"):
            nn.init.orthogonal_(module.parametrizations.weight.original)  # type: ignore[union-attr,arg-type]
        else:
            nn.init.normal_(module.weight, std=0.02)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
