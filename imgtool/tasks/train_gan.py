"""One step of adversarial training, and how it is scored."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imgtool.data.differentiable import changed
from imgtool.data.picture_batches import batch_of
from imgtool.data.picture_set import PictureSet
from imgtool.imaging.grid import grid
from imgtool.imaging.picture import Picture
from imgtool.losses.adversarial import discriminator_loss, generator_loss, gradient_penalty, r1_penalty
from imgtool.nn.gan import Discriminator, GanShape, Generator
from imgtool.options.gan import TrainGanOptions
from imgtool.runtime.device import Device, step_down
from imgtool.runtime.ranks import ALONE, Ranks
from imgtool.tasks.judge_gan import GanJudge
from imgtool.tasks.sample_gan import in_batches, latents, levels_of, model_of
from imgtool.training.average import MovingAverage
from imgtool.training.loop import Told
from imgtool.training.schedules import late_fall

SHOWN = 64  # samples of the grid that is drawn again and again
PENALTIES = ("R1", "GP")
BATCH_NORMS = ("batch", "switchable")  # they see other pictures of a batch: real and fake ones go apart

Losses = dict[str, Tensor]  # by name; the one called "loss" is what is minimised


@dataclass(frozen=True)
class Part:
    """A part of a batch: on another rank than the others, or after them because memory is short."""

    index: int = 0
    count: int = 1

    def of(self, size: int) -> slice:
        """Its places in a batch."""
        return slice(size * self.index // self.count, size * (self.index + 1) // self.count)


WHOLE = Part()


class GanTrainee:
    """A generator and its discriminator on their way: see `imgtool.training.loop.Trainee`.

    Args:
        pictures: to be like.
        options: see `TrainGanOptions`.
        shape: of the networks.
        device: where they are; in bf16 features are halved by autocast, weights stay fp32.
        judge: what scores the averaged generator; None for none.
        ranks: that train together, each on its part of every batch.
        on_parts: told in how many parts a batch is worked on, when memory ran out.
    """

    def __init__(
        self,
        pictures: PictureSet,
        options: TrainGanOptions,
        *,
        shape: GanShape,
        device: Device,
        judge: GanJudge | None = None,
        ranks: Ranks = ALONE,
        on_parts: Callable[[int], None] = lambda parts: None,
    ) -> None:
        self.pictures, self.options, self.shape = pictures, options, shape
        self.device, self.judge = device, judge
        self.labels = torch.from_numpy(pictures.labels).to(device.torch)
        self.generator = device.placed(Generator(shape)).train()
        self.critic = device.placed(Discriminator(shape)).train()
        self.ranks, self.on_parts, self.parts, self.done = ranks, on_parts, 1, 0
        self.calmness = 1.0  # of the learning rates, after a NaN
        self.penalties: dict[str, Tensor] = {}  # as they were last
        ranks.share([*self.generator.state_dict().values(), *self.critic.state_dict().values()])
        self.generator_forward = ranks.parallel(self.generator)
        self.critic_forward = ranks.parallel(self.critic)
        self.average = MovingAverage(self.generator, options.average)
        self.optimizer, self.critic_optimizer = self._adam(self.generator), self._adam(self.critic)

    def _adam(self, network: nn.Module) -> torch.optim.Optimizer:
        """Its rate is set before each step."""
        return torch.optim.Adam(network.parameters(), betas=self.options.betas)

    def step(self, number: int, progress: float) -> Told:
        """Some steps of the discriminator and one of the generator; their random numbers depend on the number."""
        told: dict[str, Tensor] = {}
        self._pace(late_fall(progress, self.options.decay))
        for turn in range(self.options.critic_steps):
            told |= self._critic_step(number, turn)
        self.penalties |= {name: told[name] for name in PENALTIES if name in told}
        told |= self._generator_step(number)
        self.ranks.share([*self.generator.buffers(), *self.critic.buffers()])
        self.average.update(self.generator, number + 1)
        self.done = number + 1
        return {**self.penalties, **told}

    def _critic_step(self, number: int, turn: int) -> Losses:
        self.critic.requires_grad_(True)
        count = number * self.options.critic_steps + turn
        return self._descend(
            self.critic_optimizer,
            self.critic_forward,
            lambda part: self._critic_losses(
                self.batch(count, part), count, self._random(number, turn, part)
            ),
        )

    def _critic_losses(
        self, batch: tuple[Tensor, Tensor | None], count: int, random: torch.Generator
    ) -> Losses:
        """What the discriminator minimises in its step `count`, as "loss", and what is told of it; scalars."""
        options, (real, labels) = self.options, batch
        due = options.r1 > 0 and count % options.penalty_every == 0
        with torch.no_grad(), self.device.autocast():
            plain = self._fakes(len(real), random, labels)
        seen = changed(real, options.augment, random).requires_grad_(due)
        fake = changed(plain.float(), options.augment, random)
        real_logits, fake_logits = self._judged(seen, fake, labels)
        loss = discriminator_loss(options.loss, real_logits, fake_logits)
        told = {
            "loss": loss,
            "D": loss,
            "D(x)": self._shown(real_logits),
            "D(G(z))": self._shown(fake_logits),
        }
        if len(real) > 1:
            told["variety"] = _variety(plain) / _variety(real).clamp_min(1e-6)
        if due:
            told["R1"] = r1_penalty(real_logits, seen)
            told["loss"] = told["loss"] + options.r1 * options.penalty_every * told["R1"]
        if options.loss == "wgan-gp" and count % options.gradient_penalty_every == 0:
            shares = torch.rand(len(real), 1, 1, 1, generator=random, device=random.device)
            told["GP"] = gradient_penalty(
                lambda image: self.critic(image, labels), seen.detach(), fake, shares
            )
            weight = options.gradient_penalty * options.gradient_penalty_every
            told["loss"] = told["loss"] + weight * told["GP"]
        return told

    def _shown(self, logits: Tensor) -> Tensor:
        """As a probability; of wgan-gp, where a score has no scale, and of lsgan, whose aims are 1 and 0, itself."""
        return (logits if self.options.loss in ("wgan-gp", "lsgan") else torch.sigmoid(logits)).mean()

    def _judged(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits of both; in one pass where pictures of a batch do not see each other."""
        with self.device.autocast():
            if self.options.critic_norm in BATCH_NORMS or real.requires_grad:
                return self.critic_forward(real, labels), self.critic(fake, labels)
            both = None if labels is None else torch.cat([labels, labels])
            real_logits, fake_logits = self.critic_forward(torch.cat([real, fake]), both).chunk(2)
            return real_logits, fake_logits

    def _generator_step(self, number: int) -> Losses:
        self.critic.requires_grad_(False)
        return self._descend(
            self.optimizer,
            self.generator_forward,
            lambda part: self._generator_losses(self._random(number, -1, part), part),
        )

    def _generator_losses(self, random: torch.Generator, part: Part) -> Losses:
        """What the generator minimises, as "loss", and what is told of it; scalars."""
        count = self.options.batch // part.count
        labels = self._labels(count, random)
        with self.device.autocast():
            fake = self._fakes(count, random, labels, self.generator_forward)
            logits = self.critic(changed(fake, self.options.augment, random), labels)
        loss = generator_loss(self.options.loss, logits)
        return {"loss": loss, "G": loss}

    def _descend(
        self, optimizer: torch.optim.Optimizer, network: nn.Module, losses: Callable[[Part], Losses]
    ) -> Losses:
        """One step on the mean of all parts of a batch, with smaller parts when memory runs out.

        Returns:
            What `losses` tells besides its loss, and the norm of the gradient.
        """

        def run(parts: int) -> Losses:
            optimizer.zero_grad(set_to_none=True)
            told: list[Losses] = []
            for index in range(parts):
                part = Part(self.ranks.rank * parts + index, self.ranks.count * parts)
                with self.ranks.apart(network) if index + 1 < parts else nullcontext():
                    found = losses(part)
                    (found.pop("loss") / parts).backward()  # type: ignore[no-untyped-call]
                told.append({name: value.detach().float() for name, value in found.items()})
            return {name: torch.stack([each[name] for each in told]).mean() for name in told[0]}

        told = step_down(run, self._parts(), say=self._part, hint="a smaller --batch, --width or --size")
        gradients = [each.grad for group in optimizer.param_groups for each in group["params"]]
        norm = torch.stack(list(torch._foreach_norm([each for each in gradients if each is not None]))).norm()
        optimizer.step()
        told = dict(zip(told, self.ranks.mean(torch.stack(list(told.values()))).unbind(), strict=True))
        return {**told, f"slope {'D' if network is self.critic_forward else 'G'}": norm}

    def _parts(self) -> list[int]:
        """How many parts a batch may be cut into, from now on; ranks cannot change it, as others would not know."""
        share = self.options.batch // self.ranks.count
        more = [parts for parts in range(self.parts + 1, share + 1) if share % parts == 0]
        return [self.parts, *more] if self.ranks.count == 1 else [self.parts]

    def _part(self, parts: int) -> None:
        self.parts = parts
        self.on_parts(parts)

    def calm(self, factor: float) -> None:
        """Make steps smaller by a factor."""
        self.calmness *= factor

    def _pace(self, factor: float) -> None:
        """Set both learning rates, in their options' values."""
        rate = self.options.learning_rate * self.calmness * factor
        for optimizer, share in ((self.optimizer, 1.0), (self.critic_optimizer, self.options.critic_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * share

    def _random(self, number: int, turn: int, part: Part) -> torch.Generator:
        """The random numbers of a part of a step, on the device."""
        seeds = (self.options.seed, number, turn + 1, *((part.index,) if part.index else ()))
        seed = np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device.torch).manual_seed(int(seed) >> 1)

    def _fakes(
        self, count: int, random: torch.Generator, labels: Tensor | None, network: nn.Module | None = None
    ) -> Tensor:
        z = torch.randn(count, self.shape.latent, generator=random, device=self.device.torch)
        images: Tensor = (network or self.generator)(z, labels)
        return images

    def _labels(self, count: int, random: torch.Generator) -> Tensor | None:
        """Classes as often as they are in the set."""
        if not self.shape.classes:
            return None
        which = torch.randint(len(self.labels), (count,), generator=random, device=self.device.torch)
        return self.labels[which]

    def batch(self, number: int, part: Part = WHOLE) -> tuple[Tensor, Tensor | None]:
        """Real pictures of a part of a step, (N, C, S, S) in [0, 1], and their classes."""
        options = self.options
        images, labels = batch_of(
            self.pictures, number, options.batch, seed=options.seed, part=part.of(options.batch)
        )
        return images.to(self.device.torch), labels.to(self.device.torch) if self.shape.classes else None

    def state(self) -> dict[str, Any]:
        """Both networks, the average, both optimisers, and how a batch is cut."""
        return {
            "done": self.done,
            "parts": self.parts,
            "calmness": self.calmness,
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.done, self.parts = int(state["done"]), int(state["parts"])
        if self.options.batch // self.ranks.count % self.parts:  # another number of ranks has other parts
            self.parts = 1
        self.calmness, self.penalties = float(state["calmness"]), {}
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])

    def score(self) -> Mapping[str, float]:
        """What the judge says of the averaged generator; the higher the better."""
        return {} if self.judge is None else self.judge(self.average.network)

    @torch.inference_mode()
    def samples(self) -> Mapping[str, Picture]:
        """A grid of the same latent numbers each time, named by the steps that were done."""
        z = latents(self.options.seed, range(SHOWN), self.shape.latent).to(self.device.torch)
        labels = (
            torch.arange(SHOWN, device=self.device.torch) % self.shape.classes if self.shape.classes else None
        )

        def drawn(part: slice) -> Tensor:
            images: Tensor = self.average.network(z[part], None if labels is None else labels[part])
            return images.float().cpu()

        images = in_batches(drawn, SHOWN, (SHOWN, 8, 1))
        return {f"step-{self.done:07d}": grid(levels_of(images))}

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged generator in halves."""
        return model_of(self.average.network, self.pictures.classes)


def _variety(images: Tensor) -> Tensor:
    """How much pixels differ from picture to picture: 0 where all are alike."""
    return images.detach().float().std(dim=0, correction=0).mean()
