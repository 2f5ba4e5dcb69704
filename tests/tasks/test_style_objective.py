"""The objective against a plain float64 reading of Gatys et al. (2016), and where its tensors are made."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from imgtool.imaging.tensors import resize
from imgtool.losses.gram import gram_matrix
from imgtool.nn.vgg import VGG
from imgtool.optim.adam import Adam
from imgtool.optim.lbfgs import LBFGS, _Pair
from imgtool.optim.pyramid import pyramid_precondition
from imgtool.options.stylize import StylizeOptions
from imgtool.tasks.style_objective import Style, StyleObjective
from imgtool.tasks.stylize import _evaluate

SIZES = {"conv1_1": 64, "conv1_2": 64, "conv2_1": 128}
SHALLOW = {"content_layers": {"conv2_1": 1.0}, "style_layers": {"conv1_1": 0.2, "conv2_1": 0.2}}


def network(pool="max", margin=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VGG("vgg19", ("conv1_1", "conv2_1"), pool=pool, margin=margin).eval()


def means():
    """Mean activations as somebody might have measured them, one filter of each layer silent."""
    random = np.random.default_rng(0)
    found = {name: random.uniform(0.1, 90, size) for name, size in SIZES.items()}
    for mean in found.values():
        mean[3] = 0
    return found


def rescaled(options):
    vgg = network(options.pool, options.margin).double()
    vgg.rescale({name: torch.from_numpy(mean) for name, mean in means().items()})
    return vgg


def picture(height, width, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64).to(dtype)


def plain_features(vgg, image, scales=None):
    """conv1_1 and conv2_1 after ReLU, with average pooling, as (filters, places) of numpy."""
    first, second, third = (vgg.get_submodule(name) for name in ("conv1_1", "conv1_2", "conv2_1"))
    blue_green_red = image.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1).to(image)
    one = nn.Sequential(first, nn.ReLU())
    two = nn.Sequential(one, second, nn.ReLU(), nn.AvgPool2d(2, 2), third, nn.ReLU())
    with torch.no_grad():
        maps = [net(blue_green_red)[0].flatten(1).numpy() for net in (one, two)]
    # Section 2: scaled so that the mean activation of each filter is one, if there is any.
    divisors = ([np.where(scale > 0, scale, 1)[:, None] for scale in scales]) if scales else (1, 1)
    return [each / divisor for each, divisor in zip(maps, divisors, strict=True)]


def plain_total(vgg, options, image, content, style, scales=None):
    """L_total = alpha L_content + beta sum of w_l E_l, eq. 1, 3, 4, 5 and 7, sum by sum.

    With scales as in the authors' code: means of squared differences, those of Gram matrices over N^2, and the
    layers added up where the paper takes a fifth of each.
    """
    features, photo, painting = (plain_features(vgg, one, scales) for one in (image, content, style))
    content_loss = ((features[1] - photo[1]) ** 2).sum() / 2
    if scales:
        content_loss = ((features[1] - photo[1]) ** 2).mean()
    style_loss = 0.0
    for weight, maps, others in zip(options.style_layers.values(), features, painting, strict=True):
        count, places = maps.shape
        total = 0.0
        for i in range(count):
            gram, target = maps[i] @ maps.T, others[i] @ others.T  # G_ij and A_ij for all j
            total += ((gram - target) ** 2).sum()
        unit = 5 / count**4 if scales else 1 / (4 * count**2)
        style_loss += weight * unit * total / places**2
    alpha, beta = options.content_weight, options.style_weight
    return alpha * content_loss, beta * style_loss


@pytest.mark.parametrize("rescale", [False, True])
def test_the_recipe_is_the_paper(rescale):
    options = replace(StylizeOptions.of_recipe("gatys2016", **SHALLOW), rescale=rescale)
    plain = network(options.pool, options.margin).double()
    scales = [means()[layer] for layer in options.style_layers] if rescale else None
    content, style, image = (picture(12, 10, seed) for seed in range(3))
    losses = StyleObjective(content, [Style(style)], options, rescaled(options) if rescale else plain)(image)
    expected = plain_total(plain, options, image, content, style, scales)
    assert float(losses.content) == pytest.approx(expected[0], rel=1e-6)
    assert float(losses.style) == pytest.approx(expected[1], rel=1e-6)
    assert float(losses.total) == pytest.approx(sum(expected), rel=1e-6)
    assert float(losses.tv) == 0
    assert expected[0] > 0 and expected[1] > 0


def test_the_recipe_has_the_gradient_of_the_paper():
    """Against differences of the plain reading, along a few directions."""
    options = StylizeOptions.of_recipe("gatys2016", **SHALLOW)
    plain, scales = network(options.pool).double(), [means()[layer] for layer in options.style_layers]
    content, style, image = (picture(8, 10, seed) for seed in range(3))
    _, gradient = _evaluate(StyleObjective(content, [Style(style)], options, rescaled(options)), image)
    for seed in range(3):
        direction, step = picture(8, 10, 10 + seed) - 0.5, 1e-6
        ahead, behind = (
            sum(plain_total(plain, options, image + sign * step * direction, content, style, scales))
            for sign in (1, -1)
        )
        assert (ahead - behind) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=1e-3)


def test_the_recipe_has_the_papers_numbers():
    options = StylizeOptions.of_recipe("gatys2016")
    assert options.content_weight / options.style_weight == 1e-3
    assert dict(options.content_layers) == {"conv4_2": 1.0}
    assert dict(options.style_layers) == {f"conv{block}_1": 1 / 5 for block in range(1, 6)}
    assert (options.pool, options.init, options.optimizer) == ("average", "noise", "lbfgs")
    assert options.rescale and options.exact
    assert not (StylizeOptions().rescale or StylizeOptions().exact)


@pytest.mark.parametrize("recipe", ["default", "gatys2016"])
def test_gradient(recipe):
    """Against finite differences along a few directions."""
    options = StylizeOptions.of_recipe(recipe, **SHALLOW)
    vgg = network(options.pool, options.margin).double()
    objective = StyleObjective(picture(7, 9, 0), [Style(picture(9, 8, 1))], options, vgg)
    image = picture(7, 9, 2)
    losses, gradient = _evaluate(objective, image)
    for seed in range(3):
        direction = picture(7, 9, 10 + seed) - 0.5
        step = 1e-6
        ahead, behind = objective(image + step * direction), objective(image - step * direction)
        slope = float(ahead.total - behind.total) / (2 * step)
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-3)
    assert not any(term.requires_grad for term in losses[:4])


def test_normalised_terms_do_not_grow_with_the_picture():
    """A tiled picture has the same means; only its seams differ."""
    options = replace(StylizeOptions(), **SHALLOW, tv_weight=0.0)
    found = []
    for times in (1, 2):
        content, style, image = (picture(32, 32, seed).repeat(1, 1, times, times) for seed in range(3))
        vgg = network().double()
        found.append(StyleObjective(content, [Style(style)], options, vgg)(image))
    for small, large in zip(found[0][:3], found[1][:3], strict=True):
        assert float(small) == pytest.approx(float(large), rel=0.1)


@pytest.mark.parametrize("term", ["content_weight", "style_weight", "tv_weight"])
def test_weights_scale_their_term(term):
    options = replace(StylizeOptions(), **SHALLOW, tv_weight=1.0)
    arguments = picture(16, 16, 0), [Style(picture(16, 16, 1))]
    once = StyleObjective(*arguments, options, network().double())(picture(16, 16, 2))
    thrice = StyleObjective(*arguments, replace(options, **{term: 3.0}), network().double())(
        picture(16, 16, 2)
    )
    for name in ("content", "style", "tv"):
        factor = 3 if term == f"{name}_weight" else 1
        assert float(getattr(thrice, name)) == pytest.approx(factor * float(getattr(once, name)), rel=1e-9)
    assert float(thrice.total) == pytest.approx(sum(map(float, thrice[1:4])), rel=1e-9)


def test_objective_of_its_own_targets_is_zero():
    content = picture(16, 16, 0)
    options = replace(StylizeOptions(), **SHALLOW, tv_weight=0.0)
    losses = StyleObjective(content, [Style(content)], options, network().double())(content)
    assert [float(term) for term in losses[:4]] == [0, 0, 0, 0]


def test_several_styles_are_one_weighted_gram():
    options = replace(StylizeOptions(), **SHALLOW, tv_weight=0.0, normalize=False)
    vgg, content = network().double(), picture(16, 16, 0)
    first, second = picture(16, 16, 1), picture(16, 16, 2) / 2
    objective = StyleObjective(content, [Style(first, 3.0), Style(second, 1.0)], options, vgg)
    expected = 0.0
    for layer, weight in options.style_layers.items():
        grams = [gram_matrix(vgg(one)[layer]) for one in (content, first, second)]
        difference = grams[0] - (0.75 * grams[1] + 0.25 * grams[2])
        expected += weight * float(difference.square().mean()) / 4
    assert float(objective(content).style) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("style_scale", [0.5, 1.0, 1.5])
def test_style_scale_sizes_the_style(style_scale):
    options = replace(StylizeOptions(), **SHALLOW, style_scale=style_scale, normalize=False)
    vgg, content, style = network().double(), picture(16, 12, 0), picture(20, 40, 1)
    size = {0.5: (4, 8), 1.0: (8, 16), 1.5: (12, 24)}[style_scale]
    expected = 0.0
    for layer, weight in options.style_layers.items():
        difference = gram_matrix(vgg(content)[layer]) - gram_matrix(vgg(resize(style, size))[layer])
        expected += weight * float(difference.square().mean()) / 4
    found = StyleObjective(content, [Style(style)], options, vgg)(content).style
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_masked_gram_is_that_of_the_part():
    """A hard mask over the left half sees only what lies there (conv1_1 reaches one pixel further)."""
    options = replace(StylizeOptions(), content_layers={"conv2_1": 1.0}, style_layers={"conv1_1": 1.0})
    vgg, style = network().double(), picture(16, 16, 1)
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    mask[..., :8] = 1
    changed = style.clone()
    changed[..., 9:] = 0.5
    content = picture(16, 16, 0)
    losses = [
        float(StyleObjective(content, [Style(one, style_mask=mask)], options, vgg)(content).style)
        for one in (style, changed)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    features = vgg(style)["conv1_1"]
    gram = StyleObjective(style, [Style(style, style_mask=mask)], options, vgg).targets[0].grams["conv1_1"]
    torch.testing.assert_close(gram, gram_matrix(features[..., :8]))


def test_a_full_mask_is_no_mask():
    options = replace(StylizeOptions(), **SHALLOW)
    vgg, content, style, image = network().double(), *(picture(16, 16, seed) for seed in range(3))
    full = torch.ones(1, 1, 5, 5, dtype=torch.float64)
    plain = StyleObjective(content, [Style(style)], options, vgg)(image)
    masked = StyleObjective(content, [Style(style, 1.0, full, full)], options, vgg)(image)
    torch.testing.assert_close(masked.total, plain.total)


def test_a_region_is_pulled_only_where_it_is():
    options = replace(StylizeOptions(), **SHALLOW, tv_weight=0.0, content_weight=0.0)
    mask = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    mask[..., :16] = 1
    style = Style(picture(32, 32, 1), content_mask=mask)
    objective = StyleObjective(picture(32, 32, 0), [style], options, network().double())
    _, gradient = _evaluate(objective, picture(32, 32, 2))
    assert gradient[..., :12].abs().min(1).values.mean() > 0
    assert gradient[..., 24:].abs().max() == 0


class Trusting(LBFGS):
    """Keeps every pair: whether one is good cannot be known of tensors without numbers."""

    def _remember(self, step, change):
        self.pairs.append(_Pair(step, change, torch.sum(step * change)))


def objective_on(device, **moved):
    """The whole objective with its pictures on a device, but for those in `moved`."""
    options = replace(StylizeOptions(), **SHALLOW)
    vgg = network_on(device, margin=options.margin)
    content = torch.rand(1, 3, 24, 18, device=moved.get("content", device))
    style = torch.rand(1, 3, 20, 20, device=moved.get("style", device))
    mask = torch.rand(1, 1, 24, 18, device=moved.get("mask", device))
    masked = [] if torch.device(device).type == "meta" else [Style(style, 1.0, mask)]  # its share is a number
    return StyleObjective(content, [Style(style), Style(style, 2.0), *masked], options, vgg)


def network_on(device, margin):
    with torch.device(device):
        vgg = VGG("vgg19", ("conv1_1", "conv2_1"), margin=margin)
    if torch.device(device).type == "meta":  # a module of pretended tensors cannot be converted
        for convolution in vgg.children():
            convolution.to(torch.bfloat16)
    return vgg


@pytest.fixture
def pretended():
    """A device that is not there, for forward passes; new tensors go to the CPU, so that strays are seen."""
    with FakeTensorMode(), torch.no_grad():
        yield torch.device("cuda")


def test_forward_stays_on_its_device(pretended, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: 1.0)  # of the mask's share
    losses = objective_on(pretended)(torch.rand(1, 3, 24, 18, device=pretended))
    assert {term.device.type for term in losses[:4]} == {"cuda"}
    assert losses.total.dtype == torch.float32


@pytest.mark.parametrize("stray", ["content", "style", "mask"])
def test_a_stray_tensor_is_refused(pretended, stray, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: 1.0)
    with pytest.raises(RuntimeError, match="device"):
        objective_on(pretended, **{stray: "cpu"})(torch.rand(1, 3, 24, 18, device=pretended))


def test_a_stray_result_is_refused(pretended, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: 1.0)
    with pytest.raises(RuntimeError, match="device"):
        objective_on(pretended)(torch.rand(1, 3, 24, 18))


@pytest.mark.parametrize(
    "make", [lambda: Trusting(precondition=pyramid_precondition), Adam], ids=["lbfgs", "adam"]
)
def test_whole_steps_stay_on_their_device(make):
    """Backward and optimizer included, on torch's device without numbers."""
    meta = torch.device("meta")
    objective, optimizer = objective_on(meta), make()
    image = torch.rand(1, 3, 24, 18, device=meta)
    for _ in range(3):
        losses, gradient = _evaluate(objective, image)
        assert {gradient.device.type, *(term.device.type for term in losses[:4])} == {"meta"}
        image = optimizer.step(image, gradient)
        assert image.device.type == "meta" and image.shape == (1, 3, 24, 18)


def test_a_stray_gradient_is_refused():
    optimizer = Trusting(precondition=pyramid_precondition)
    with pytest.raises(RuntimeError, match="device"):
        optimizer.step(torch.rand(1, 3, 8, 8, device="meta"), torch.rand(1, 3, 8, 8))


def test_features_are_arrays_of_the_papers_shape():
    """The plain reading itself: N filters of M places."""
    maps = plain_features(network("average").double(), picture(12, 10, 0))
    assert [one.shape for one in maps] == [(64, 120), (128, 30)]
    assert all(np.isfinite(one).all() and one.min() >= 0 for one in maps)
