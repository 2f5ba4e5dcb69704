"""Run by torchrun in a test: some steps of adversarial training, and what each process has in the end."""

import sys
from pathlib import Path

import numpy as np
import torch

from imgtool.data.picture_set import PictureSet
from imgtool.nn.gan import GanShape
from imgtool.options.gan import TrainGanOptions
from imgtool.runtime.device import select_device
from imgtool.runtime.ranks import joined
from imgtool.tasks.train_gan import GanTrainee

STEPS = 4


def trainee_with(ranks, **given):
    options = TrainGanOptions.of_recipe(size=8, width=6, latent=5, batch=8, r1=0.1, penalty_every=2, **given)
    random = np.random.default_rng(0)
    pictures = PictureSet(
        random.integers(0, 256, (24, 8, 8, 1)).astype(np.uint8), np.zeros(24, np.int64), (), ()
    )
    shape = GanShape(
        size=8, channels=1, latent=5, width=6, norm=options.norm, critic_norm=options.critic_norm
    )
    torch.manual_seed(ranks.rank)  # each begins with weights of its own
    return GanTrainee(pictures, options, shape=shape, device=select_device("cpu", "fp32"), ranks=ranks)


def main(folder, norm, critic_norm):
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        trainee = trainee_with(ranks, norm=norm, critic_norm=critic_norm)
        told = [trainee.step(number, 0.0) for number in range(STEPS)]
        state = {
            name: each for name, each in trainee.state().items() if name in ("generator", "critic", "average")
        }
        torch.save({"state": state, "told": told}, Path(folder) / f"{ranks.rank}.pt")
        ranks.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
