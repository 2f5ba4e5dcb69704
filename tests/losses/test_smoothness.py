"""Total variation against a plain loop; what comes again against pictures in which it is known."""

import pytest
import torch

from imgtool.losses.smoothness import lattice, total_variation, total_variation_gradient


def plain(image):
    total = 0.0
    for picture in image.tolist():
        for plane in picture:
            for y, row in enumerate(plane):
                for x, value in enumerate(row):
                    total += (plane[y + 1][x] - value) ** 2 if y + 1 < len(plane) else 0
                    total += (row[x + 1] - value) ** 2 if x + 1 < len(row) else 0
    return total / image.numel()


@pytest.mark.parametrize(
    "shape", [(1, 3, 4, 5), (2, 1, 3, 3), (1, 3, 1, 6), (1, 3, 6, 1), (1, 3, 1, 1)], ids=str
)
def test_values_and_gradient(shape):
    image = torch.rand(
        shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).requires_grad_()
    assert float(total_variation(image.detach())) == pytest.approx(plain(image), rel=1e-12, abs=0)
    assert torch.autograd.gradcheck(total_variation, image)
    expected = torch.autograd.grad(total_variation(image), image)[0]
    torch.testing.assert_close(total_variation_gradient(image), expected, rtol=1e-12, atol=1e-15)


def test_flat_pictures_have_none():
    assert total_variation(torch.full((1, 3, 5, 7), 0.3)) == 0


def test_a_finer_pattern_has_more():
    fine, coarse = torch.zeros(2, 1, 3, 16, 16)
    fine[..., ::2] = 1
    coarse[..., ::4] = coarse[..., 1::4] = 1
    assert total_variation(fine) > 1.9 * total_variation(coarse)


def striped(period, size=64):
    """(1, 1, size, size): columns 0.2 above the others, once in a period."""
    image = torch.full((1, 1, size, size), 0.5)
    image[..., ::period] += 0.2
    return image


def test_a_grid_has_the_variance_of_its_places():
    """A column of four is 0.2 higher: a variance of 0.2 squared times 3/16, and that of steps at two of four."""
    for window in (16, 32, 1000):
        expected = 0.2**2 * 3 / 16 + 0.2**2 / 4 / 2
        assert float(lattice(striped(4), 4, window)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("period", [3, 5, 7], ids=str)
def test_what_comes_again_at_another_distance_is_no_grid(period):
    assert float(lattice(striped(period, 424), 4, 424)) < 0.05 * float(lattice(striped(4, 424), 4, 424))


def test_a_grid_that_turns_is_seen_in_small_windows():
    image = striped(4)
    image[..., 32:, :] = 1 - image[..., 32:, :]
    of_steps = 0.2**2 / 4 / 2
    assert float(lattice(image, 4, 64)) == pytest.approx(of_steps, rel=0.01)
    assert float(lattice(image, 4, 32)) == pytest.approx(of_steps + 0.2**2 * 3 / 16, rel=0.01)


def test_edges_that_keep_to_the_grid_are_one():
    """Squares of chance, each of one value: their means are alike, and all edges are between them."""
    values = torch.rand(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    squares = values.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    rolled = squares.roll((1, 1), (2, 3))
    loose = torch.rand(1, 1, 800, 800, generator=torch.Generator().manual_seed(1))
    for image in (squares, rolled):
        assert float(lattice(image, 4, 800)) > 100 * float(lattice(loose, 4, 800))


def test_lattice_gradient():
    random = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 8, 12, generator=random, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: lattice(each, 4, 4), image)
