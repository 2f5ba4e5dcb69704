import pytest
import torch

from imgtool.losses.gram import gram_matrix
from imgtool.nn.vgg import VGG
from imgtool.options.fast_style import TrainStyleOptions
from imgtool.tasks.fast_objective import FastObjective, NamedStyle

LAYERS = {"content_layers": {"conv2_1": 1.0}, "style_layers": {"conv1_1": 2.0, "conv2_1": 1.0}}
OPTIONS = TrainStyleOptions(crop=32, photo_size=32, style_size=48, content_weight=1.0, **LAYERS)


@pytest.fixture(scope="module")
def vgg():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGG("vgg19", ("conv1_1", "conv2_1")).eval()


def pictures(count, seed, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def objective(vgg):
    styles = [NamedStyle("a", pictures(1, 1, 48) ** 3), NamedStyle("b", 1 - pictures(1, 2, 48) ** 4)]
    return FastObjective(styles, pictures(3, 3), OPTIONS, vgg)


def test_untouched_photos_have_kept_all_and_gained_nothing(objective):
    photos = pictures(3, 3)
    terms = [objective(photo[None].repeat(2, 1, 1, 1), objective.content(photo[None])) for photo in photos]
    assert all(float(each["content"]) < 1e-10 for each in terms)
    assert abs(sum(float(each["style"]) for each in terms) / 3 - 1) < 1e-4


def test_terms_by_the_definition(objective, vgg):
    """Of two photos in two styles, each against its own."""
    images, photos = pictures(4, 4), pictures(2, 5)
    terms = objective(images, objective.content(photos))
    ours, theirs = vgg(images), vgg(photos)
    kept = theirs["conv2_1"].repeat(2, 1, 1, 1)
    expected = (ours["conv2_1"] - kept).square().sum() / kept.square().sum()
    torch.testing.assert_close(terms["content"], expected)
    style = 0.0
    for layer, weight in OPTIONS.style_layers.items():
        for number, target in enumerate(objective.targets[layer]):
            away = [
                (gram_matrix(each) - target).square().mean()
                for each in (ours[layer][2 * number : 2 * number + 2], vgg(pictures(3, 3))[layer])
            ]
            style = style + weight / 3 * away[0] / away[1] / 2
    torch.testing.assert_close(terms["style"], style)
    torch.testing.assert_close(terms.total, sum(terms.values()))


def test_copied_style_has_gained_all(objective):
    copy = FastObjective([NamedStyle("a", pictures(1, 7))], pictures(2, 3), OPTIONS, objective.network)
    # At the size at which styles are looked at.
    image = copy._at_size(pictures(1, 7))
    terms = copy(image, copy.content(image))
    assert float(terms["style"]) < 1e-8 and float(terms["content"]) == 0


def test_gradient_reaches_the_image(objective):
    image = pictures(2, 8).requires_grad_()
    objective(image, objective.content(pictures(1, 8))).total.backward()
    assert image.grad.abs().sum() > 0


def test_a_grid_of_four_pixels_costs(objective):
    """One of two levels of 255 costs what it is said to; the same strokes elsewhere in each square cost nothing."""
    photo = torch.full((1, 3, 96, 96), 0.5)
    grid = photo.repeat(2, 1, 1, 1)
    grid[..., ::2] += 2 / 255
    grid[..., 1::2] -= 2 / 255
    content = objective.content(photo)
    assert float(objective(grid, content)["lattice"]) == pytest.approx(0.0615, rel=0.01)
    spread = photo.repeat(2, 1, 1, 1)
    spread[..., ::3] += 4 / 255
    assert float(objective(spread, content)["lattice"]) < 1e-3
