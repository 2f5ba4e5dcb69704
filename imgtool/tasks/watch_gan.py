"""Signs that adversarial training goes wrong, in words, with what to try."""

from collections.abc import Mapping

PATIENCE = 300  # steps over which losses are averaged, and before which nothing is said
# The discriminator's loss where it cannot tell real from fake; wgan-gp has none, as its loss has no scale.
CHANCE = {"minimax": 1.386, "nonsaturating": 1.386, "hinge": 2.0, "lsgan": 0.5}
SURE = 0.03  # of that: it tells nearly all apart
FLAT = 0.25  # of the spread of real pictures: samples are alike
RECOVERED = 2.0  # times a limit, after which a word may be said again


class CollapseWatch:
    """Looks at losses and scores; each sign gets one word until it has gone.

    Args:
        loss: of GAN_LOSSES.
    """

    def __init__(self, loss: str) -> None:
        self.chance = CHANCE.get(loss)
        self.means: dict[str, float] = {}
        self.seen = 0
        self.said: set[str] = set()

    def __call__(self, told: Mapping[str, float]) -> str:
        """A word about newest losses or scores; "" for nothing."""
        if "D" in told:
            self.seen += 1
            for name in (name for name in ("D", "D(x)", "D(G(z))", "variety") if name in told):
                share = max(1 / self.seen, 1 / PATIENCE)
                self.means[name] = self.means.get(name, 0.0) * (1 - share) + told[name] * share
            if self.seen < PATIENCE:
                return ""
            return self._sure() or self._flat("variety", self.means.get("variety", 1.0), "pixels vary")
        return self._flat("spread", told["spread"], "features vary") if "spread" in told else ""

    def _sure(self) -> str:
        if self.chance is None or not self._is_new("sure", self.means["D"] / self.chance, SURE):
            return ""
        return (
            f"the discriminator tells nearly all apart (D(x) {self.means['D(x)']:.2f}, "
            f"D(G(z)) {self.means['D(G(z))']:.2f}), so the generator learns little. Try: --critic-rate 0.5, --r1 1, "
            "or for few pictures --augment color,shift,cutout"
        )

    def _flat(self, name: str, value: float, what: str) -> str:
        if not self._is_new(name, value, FLAT):
            return ""
        return (
            f"samples look alike: their {what} {value:.2f} times as much as those of real pictures (mode collapse). "
            "Try: --loss nonsaturating --r1 1, a smaller --learning-rate, a larger --batch"
        )

    def _is_new(self, name: str, value: float, limit: float) -> bool:
        """Whether a value is below its limit, and was not when it was looked at before."""
        if value > limit * RECOVERED:
            self.said.discard(name)
        if value >= limit or name in self.said:
            return False
        self.said.add(name)
        return True
