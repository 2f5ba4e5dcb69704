"""What `imgtool stylize` takes of the memory without being asked."""

from dataclasses import replace

import pytest
import torch

from imgtool.cli import stylize_memory
from imgtool.cli.stylize_memory import fitting, leaner, smaller
from imgtool.errors import DeviceError
from imgtool.options.stylize import StylizeOptions
from imgtool.runtime import device
from imgtool.runtime.device import Device
from imgtool.tasks.stylize import memory_needed

OPTIONS = StylizeOptions()
CPU = Device(torch.device("cpu"), torch.bfloat16, "a test")


@pytest.fixture
def free(monkeypatch):
    """Sets the free memory in GB."""

    def set(gigabytes):
        for module in (device, stylize_memory):
            monkeypatch.setattr(module, "memory_available", lambda _: int(gigabytes * 1e9))

    return set


def first(size, options=OPTIONS, on=CPU, **more):
    return fitting(
        options, size, [(size[0], size[1])], on, hint="--size 64", **{"keep_history": False, **more}
    )[0]


def test_large_pictures_get_tiles_first():
    large = leaner(OPTIONS, (3000, 4000))
    assert [(each.tile, each.history) for each in large] == [
        *((4000, 10), *((tile, history) for history in (10, 5, 2) for tile in (1024, 512, 384)))
    ]
    assert [(each.tile, each.history) for each in leaner(OPTIONS, (512, 512))] == [
        *((None, 10), (None, 5), (None, 2))
    ]
    own = replace(OPTIONS, tile=256, history=2)
    assert leaner(own, (3000, 4000)) == [own]


@pytest.mark.parametrize("gigabytes", [4, 24, 1000])
def test_large_pictures_stay_modest(free, gigabytes):
    """On a machine with room for all of it, too: there is other work."""
    free(gigabytes)
    chosen = first((3000, 4000))
    needed = memory_needed((3000, 4000), chosen, CPU.dtype, [(3000, 4000)])
    assert (needed <= 2.4e9) == (gigabytes < 100)
    assert (chosen.tile, chosen.history) == ((384, 2) if gigabytes < 100 else (4000, 10))


def test_what_fits_stays_whole(free):
    free(24)
    assert first((512, 512)) is OPTIONS
    assert first((1365, 2048)).tile == 2048  # told in the recipe, for tiles were an option
    free(8)
    assert first((1365, 2048)).tile == 512


def test_what_was_asked_for_is_done_if_it_can_be(free):
    free(24)
    own = replace(OPTIONS, tile=4000)
    assert first((3000, 4000), own) == own
    kept = first((3000, 4000), replace(OPTIONS, history=10), keep_history=True)
    assert (kept.tile, kept.history) == (384, 10)
    free(3)
    assert first((3000, 4000), keep_history=True).history == 2


def test_an_accelerator_is_there_to_be_used(free):
    free(24)
    on = Device(torch.device("cuda"), torch.bfloat16, "a test")
    assert first((3000, 4000), on=on).tile == 4000


@pytest.mark.parametrize("gigabytes", [1, 4, 24])
def test_the_size_that_is_named_fits(free, gigabytes):
    free(gigabytes)
    side = smaller(OPTIONS, (100_000, 100_000), [(64, 64)], CPU)
    assert 64 < side < 70_000

    def least(side):
        tries = leaner(OPTIONS, (side, side))
        return min(memory_needed((side, side), each, CPU.dtype, [(64, 64)]) for each in tries)

    assert least(side) <= gigabytes * 1e9 < least(int(side / 0.7) + 1)
    assert smaller(OPTIONS, (512, 256), [(64, 64)], CPU) == 358  # what was thought to fit did not


def test_too_little_for_anything(free):
    free(0.5)
    with pytest.raises(DeviceError, match=r"0\.5 GB are free"):
        first((3000, 4000))
