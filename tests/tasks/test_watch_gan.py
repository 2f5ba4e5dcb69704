import pytest

from imgtool.tasks.watch_gan import PATIENCE, CollapseWatch

SOUND = {"D": 1.2, "D(x)": 0.6, "D(G(z))": 0.4, "variety": 0.9}


def words(watch, told, steps):
    return [word for word in (watch(told) for _ in range(steps)) if word]


def test_says_nothing_of_a_sound_training():
    watch = CollapseWatch("nonsaturating")
    assert words(watch, SOUND, 2 * PATIENCE) == []
    assert watch({"-distance": -50.0, "spread": 0.9}) == ""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"D": 0.01, "D(x)": 0.99, "D(G(z))": 0.01}, "tells nearly all apart (D(x) 0.99, D(G(z)) 0.01)"),
        ({"variety": 0.05}, "pixels vary 0.05 times"),
    ],
)
def test_says_once_what_goes_wrong(told, expected):
    (word,) = words(CollapseWatch("nonsaturating"), {**SOUND, **told}, 3 * PATIENCE)
    assert expected in word and "Try: " in word


def test_says_it_again_after_it_had_gone():
    watch = CollapseWatch("hinge")
    assert "features vary" in watch({"-distance": -9.0, "spread": 0.1})
    assert watch({"-distance": -9.0, "spread": 0.12}) == ""
    assert watch({"-distance": -9.0, "spread": 0.9}) == ""
    assert watch({"-distance": -9.0, "spread": 0.1})


def test_loss_without_a_scale_is_not_looked_at():
    assert words(CollapseWatch("wgan-gp"), {**SOUND, "D": -40.0}, 2 * PATIENCE) == []
