"""What can be set about `train-features`."""

from dataclasses import dataclass

from imgtool.options.checks import MAX_SEED, at_least, choice, ends, power_of_two, within
from imgtool.options.gan import GAN_FITS


@dataclass(frozen=True, kw_only=True)
class TrainFeaturesOptions:
    """Knobs of `train-features`."""

    size: int = 32  # side of the pictures in pixels, a power of two
    fit: str = "crop"  # of GAN_FITS: the middle square, or the whole picture with a border
    width: int = 32  # channels at full size; they double with each halving
    features: int = 128  # numbers that a picture becomes
    learning_rate: float = 2e-3  # the highest; it rises and falls along a cosine
    batch: int = 128
    steps: int | None = 1500
    time: float | None = None  # seconds in all
    seed: int = 0

    def __post_init__(self) -> None:
        choice("fit", self.fit, GAN_FITS)
        power_of_two("size", self.size, 8, 512)
        ends(self.steps, self.time)
        for name, high in (("width", 512), ("features", 4096), ("batch", 4096)):
            within(name, getattr(self, name), 1, high)
        at_least("learning_rate", self.learning_rate, 0)
        within("seed", self.seed, 0, MAX_SEED)
