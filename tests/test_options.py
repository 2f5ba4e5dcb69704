"""Options are checked without torch, and every refusal names its option and what it expected."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from imgtool import options
from imgtool.errors import OptionError
from imgtool.options.captcha_reader import (
    SCRATCH_RATE,
    TUNING_RATE,
    AuditOptions,
    CaptchaReadOptions,
    CleanOptions,
    TrainCaptchaOptions,
)
from imgtool.options.checks import MAX_SEED
from imgtool.options.edges import TrainEdgesOptions
from imgtool.options.segment import TrainSegmentOptions
from imgtool.options.stylize import (
    MAX_SCALES,
    RECIPE_FIELDS,
    STYLE_NETWORKS,
    STYLIZE_RECIPES,
    UNLIMITED,
    StylizeOptions,
    vgg_layers,
)

NAN, INFINITY = float("nan"), float("inf")


def test_layers_of_the_paper():
    assert len(vgg_layers("vgg16")) == 13 and len(vgg_layers("vgg19")) == 16
    assert vgg_layers("vgg19")[:3] == ("conv1_1", "conv1_2", "conv2_1")
    assert vgg_layers("vgg16")[-1] == "conv5_3" and vgg_layers("vgg19")[-1] == "conv5_4"


@pytest.mark.parametrize("recipe", STYLIZE_RECIPES)
def test_every_recipe_is_valid(recipe):
    options = StylizeOptions.of_recipe(recipe)
    assert options.recipe == recipe
    for name, value in STYLIZE_RECIPES[recipe].items():
        assert getattr(options, name) == value


def test_what_is_given_goes_before_the_recipe():
    options = StylizeOptions.of_recipe("gatys2016", pool="max", steps=(7,))
    assert (options.pool, options.steps, options.init) == ("max", (7,), "noise")


def test_a_time_alone_means_as_many_steps_as_fit():
    assert StylizeOptions.of_recipe(time=3.0).steps == (UNLIMITED,)
    assert StylizeOptions.of_recipe(time=3.0, steps=(5,)).steps == (5,)
    assert StylizeOptions.of_recipe(time=None).steps != (UNLIMITED,)


def test_several_steps_mean_as_many_scales():
    assert StylizeOptions.of_recipe(steps=(5, 6, 7)).scales == 3
    assert StylizeOptions.of_recipe(steps=(5,), scales=4).steps_per_scale == (5, 5, 5, 5)
    assert StylizeOptions.of_recipe(steps=(5, 6)).steps_per_scale == (5, 6)


def test_recipe_fields_are_fields():
    assert set(RECIPE_FIELDS) < {field.name for field in fields(StylizeOptions)}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 0),
        ("size", -5),
        ("scales", 0),
        ("scales", MAX_SCALES + 1),
        ("history", 0),
        ("steps", (-1,)),
        ("steps", (1, 2, 3)),
        ("steps", ()),
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("content_weight", -0.1),
        ("style_weight", NAN),
        ("tv_weight", INFINITY),
        ("time", 0.0),
        ("time", -1.0),
        ("time", NAN),
        ("time", INFINITY),
        ("style_scale", 0.0),
        ("style_scale", NAN),
        ("network", "resnet"),
        ("pool", "median"),
        ("optimizer", "sgd"),
        ("recipe", "johnson2016"),
        ("content_layers", {}),
        ("style_layers", {}),
        ("content_layers", {"relu4_2": 1.0}),
        ("style_layers", {"conv1_1": 0.0}),
        ("style_layers", {"conv1_1": NAN}),
        ("style_layers", {"conv1_1": -1.0}),
    ],
    ids=str,
)
def test_senseless_values_are_refused_by_name(option, value):
    with pytest.raises(OptionError) as caught:
        StylizeOptions(**{option: value})
    assert (caught.value.option, caught.value.exit_code) == (option, 2)
    assert caught.value.message.startswith(f"--{option.replace('_', '-')}: ")
    assert "\n" not in caught.value.message


def test_layers_belong_to_the_network():
    StylizeOptions(network="vgg19", style_layers={"conv5_4": 1.0})
    with pytest.raises(OptionError, match="no layer 'conv5_4'; choose from conv1_1"):
        StylizeOptions(network="vgg16", style_layers={"conv5_4": 1.0})


def test_something_must_be_wanted():
    StylizeOptions(content_weight=0, style_weight=0, tv_weight=1)
    with pytest.raises(OptionError, match="all weights are 0"):
        StylizeOptions(content_weight=0, style_weight=0, tv_weight=0)


@pytest.mark.parametrize(
    "values",
    [
        {"size": 1},
        {"size": None},
        {"steps": (0,)},
        {"time": 1e-3},
        {"seed": MAX_SEED},
        {"scales": MAX_SCALES},
        {"init": "earlier.png"},
        *({"network": name} for name in STYLE_NETWORKS),
    ],
    ids=str,
)
def test_extreme_values_that_make_sense(values):
    options = StylizeOptions(**values)
    assert all(getattr(options, name) == value for name, value in values.items())


def test_options_cannot_change():
    with pytest.raises(FrozenInstanceError):
        StylizeOptions().size = 3


def test_layers_of_one_are_not_those_of_another():
    assert StylizeOptions().style_layers is not StylizeOptions().style_layers
    assert StylizeOptions() == StylizeOptions()


def test_no_torch_needed():
    modules = [f"imgtool.options.{path.stem}" for path in Path(options.__file__).parent.glob("[a-z]*.py")]
    script = (
        f"import sys, {', '.join(modules)}; print(sorted({{'torch', 'numpy', 'rich'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert len(modules) > 3
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", [TrainCaptchaOptions, TrainEdgesOptions, TrainSegmentOptions])
def test_a_training_has_an_end(kind):
    assert kind(steps=None, time=3.0).steps is None
    with pytest.raises(OptionError, match="neither --steps nor --time says when to end"):
        kind(steps=None)
    for name, value in (("steps", 0), ("steps", -1), ("time", 0.0), ("time", NAN), ("time", INFINITY)):
        with pytest.raises(OptionError, match="must be above 0") as caught:
            kind(**{name: value})
        assert caught.value.option == name


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (CaptchaReadOptions, "beam", 0),
        (CaptchaReadOptions, "beam", 1001),
        *((CaptchaReadOptions, "length", value) for value in ((5, 4), (-1, 4))),
        *((TrainCaptchaOptions, "batch", value) for value in (0, 5000)),
        *((TrainCaptchaOptions, "height", value) for value in (0, 15, 513)),
        *((TrainCaptchaOptions, "hidden", value) for value in (0, 1025)),
        *((TrainCaptchaOptions, "places", value) for value in (-0.1, 1.1, NAN)),
        *((TrainCaptchaOptions, "average", value) for value in (-0.1, 1.1, NAN)),
        *((TrainCaptchaOptions, name, -1) for name in ("fold", "seed", "val", "shake", "weight_decay")),
        *((TrainCaptchaOptions, "learning_rate", value) for value in (-1, NAN, INFINITY)),
        (TrainCaptchaOptions, "patience", 0),
        (CleanOptions, "margin", NAN),
        *((CleanOptions, "agreement", value) for value in (-0.1, 1.1, NAN)),
        (AuditOptions, "count", 0),
        (AuditOptions, "beam", 0),
        (AuditOptions, "seed", -1),
        *((AuditOptions, "train", value) for value in (0, -1, NAN)),
    ],
)
def test_senseless_values_about_captchas(kind, option, value):
    with pytest.raises(OptionError) as caught:
        kind(**{option: value})
    assert caught.value.option == option


@pytest.mark.parametrize("folds", [1, 0, 101])
def test_parts_of_a_cleaning(folds):
    with pytest.raises(OptionError, match="--clean: must be from 2 to 100"):
        CleanOptions(folds=folds)


def test_weights_are_tuned_more_gently():
    assert TrainCaptchaOptions().rate == SCRATCH_RATE
    assert TrainCaptchaOptions(start="captcha").rate == TUNING_RATE
    assert TrainCaptchaOptions(start="captcha", learning_rate=0.5).rate == 0.5
