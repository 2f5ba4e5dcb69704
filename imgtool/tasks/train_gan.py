"""One step of adversarial training, and how it is scored."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imgtool.data.differentiable import changed
from imgtool.data.picture_set import PictureSet
from imgtool.imaging.picture import Picture
from imgtool.losses.adversarial import discriminator_loss, generator_loss, gradient_penalty, r1_penalty
from imgtool.nn.gan import Discriminator, GanShape, Generator
from imgtool.options.gan import TrainGanOptions
from imgtool.runtime.device import Device
from imgtool.tasks.judge_gan import GanJudge
from imgtool.tasks.sample_gan import grid_of, latents, model_of
from imgtool.training.average import MovingAverage

SHOWN = 64  # samples of the grid that is drawn again and again
BATCH_NORMS = (
    "batch",
    "switchable",
)  # which see other pictures of a batch, so that real and fake ones go apart


class GanTrainee:
    """A generator and its discriminator on their way: see `imgtool.training.loop.Trainee`.

    Args:
        pictures: to be like.
        options: see `TrainGanOptions`.
        shape: of the networks.
        device: where they are; in bf16 features are halved by autocast, weights stay fp32.
        judge: what scores the averaged generator; None for none.
    """

    def __init__(
        self,
        pictures: PictureSet,
        options: TrainGanOptions,
        *,
        shape: GanShape,
        device: Device,
        judge: GanJudge | None = None,
    ) -> None:
        self.pictures, self.options, self.shape, self.device, self.judge = (
            pictures,
            options,
            shape,
            device,
            judge,
        )
        place: Any = {"device": device.torch, "memory_format": torch.channels_last}
        self.generator: Generator = Generator(shape).to(**place).train()
        self.critic: Discriminator = Discriminator(shape).to(**place).train()
        self.average = MovingAverage(self.generator, options.average)
        self.optimizer = self._adam(self.generator, options.learning_rate)
        self.critic_optimizer = self._adam(self.critic, options.learning_rate * options.critic_rate)

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=rate, betas=self.options.betas)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Some steps of the discriminator and one of the generator; their random numbers depend on the number."""
        told: dict[str, Tensor] = {}
        for turn in range(self.options.critic_steps):
            count = number * self.options.critic_steps + turn
            told |= self._critic_step(count, self._random(number, turn))
        told |= self._generator_step(self._random(number, -1))
        self.average.update(self.generator, number + 1)
        names, values = list(told), torch.stack([value.detach().float() for value in told.values()]).tolist()
        return dict(zip(names, values, strict=True))

    def _critic_step(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        options = self.options
        self.critic.requires_grad_(True)
        real, labels = self.batch(count)
        with torch.no_grad(), self._autocast():
            fake = self._fakes(random, labels)
        due = options.loss == "wgan-gp" or count % options.penalty_every == 0
        seen = changed(real, options.augment, random).requires_grad_(due and options.r1 > 0)
        fake = changed(fake.float(), options.augment, random)
        real_logits, fake_logits = self._judged(seen, fake, labels)
        loss = discriminator_loss(options.loss, real_logits, fake_logits)
        told = {
            "D": loss,
            "D(x)": torch.sigmoid(real_logits).mean(),
            "D(G(z))": torch.sigmoid(fake_logits).mean(),
        }
        if due and options.r1:
            told["R1"] = r1_penalty(real_logits, seen)
            loss = loss + options.r1 * options.penalty_every * told["R1"]
        if options.loss == "wgan-gp":
            shares = torch.rand(len(real), 1, 1, 1, generator=random, device=random.device)
            told["GP"] = gradient_penalty(
                lambda image: self.critic(image, labels), seen.detach(), fake, shares
            )
            loss = loss + options.gradient_penalty * told["GP"]
        told["slope D"] = self._descend(self.critic_optimizer, loss)
        return told

    def _judged(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits of both; in one pass where pictures of a batch do not see each other."""
        with self._autocast():
            if self.options.critic_norm in BATCH_NORMS or real.requires_grad:
                return self.critic(real, labels), self.critic(fake, labels)
            both = None if labels is None else torch.cat([labels, labels])
            real_logits, fake_logits = self.critic(torch.cat([real, fake]), both).chunk(2)
            return real_logits, fake_logits

    def _generator_step(self, random: torch.Generator) -> dict[str, Tensor]:
        self.critic.requires_grad_(False)
        labels = self._labels(random)
        with self._autocast():
            fake = self._fakes(random, labels)
            logits = self.critic(changed(fake, self.options.augment, random), labels)
        loss = generator_loss(self.options.loss, logits)
        return {"G": loss, "slope G": self._descend(self.optimizer, loss)}

    def _descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        """One step; the norm of the gradient."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        norms = torch._foreach_norm([each.grad for each in parameters if each.grad is not None])
        optimizer.step()
        norm: Tensor = torch.stack(list(norms)).norm()
        return norm

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.torch.type, self.device.dtype, self.device.dtype != torch.float32)

    def _random(self, number: int, turn: int) -> torch.Generator:
        """The random numbers of a part of a step, on the device."""
        seed = np.random.SeedSequence((self.options.seed, number, turn + 1)).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device.torch).manual_seed(int(seed) >> 1)

    def _fakes(self, random: torch.Generator, labels: Tensor | None) -> Tensor:
        z = torch.randn(self.options.batch, self.shape.latent, generator=random, device=self.device.torch)
        images: Tensor = self.generator(z, labels)
        return images

    def _labels(self, random: torch.Generator) -> Tensor | None:
        """Classes as often as they are in the set."""
        if not self.shape.classes:
            return None
        known = torch.from_numpy(self.pictures.labels).to(self.device.torch)
        which = torch.randint(len(known), (self.options.batch,), generator=random, device=self.device.torch)
        return known[which]

    def batch(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Real pictures of one step, (N, C, S, S) in [0, 1], and their classes."""
        size, count = self.options.batch, len(self.pictures.pixels)
        which: list[int] = []
        for index in range(number * size, (number + 1) * size):
            if not which or index % count == 0:
                order = np.random.default_rng((self.options.seed, index // count)).permutation(count)
            which.append(int(order[index % count]))
        pixels = torch.from_numpy(self.pictures.pixels[which]).to(self.device.torch)
        images = pixels.permute(0, 3, 1, 2).float() / 255
        labels = (
            torch.from_numpy(self.pictures.labels[which]).to(self.device.torch)
            if self.shape.classes
            else None
        )
        return images, labels

    def state(self) -> dict[str, Any]:
        """Both networks, the average, both optimisers."""
        return {
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])

    def score(self) -> Mapping[str, float]:
        """What the judge says of the averaged generator; the higher the better."""
        return {} if self.judge is None else self.judge(self.averaged())

    def averaged(self) -> Generator:
        """The generator that is kept."""
        average = self.average.network
        assert isinstance(average, Generator)
        return average.eval()

    @torch.inference_mode()
    def samples(self) -> Mapping[str, Picture]:
        """A grid of the same latent numbers each time."""
        z = latents(self.options.seed, range(SHOWN), self.shape.latent).to(self.device.torch)
        labels = (
            torch.arange(SHOWN, device=self.device.torch) % self.shape.classes if self.shape.classes else None
        )
        return {"samples": grid_of(self.averaged()(z, labels).float().cpu())}

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged generator in halves."""
        return model_of(self.averaged(), self.pictures.classes)
