import numpy as np
import pytest
import tifffile
from PIL import Image

from imgtool.data.coding import MAX_CLASSES, OBJECT_CLASSES, Coding, coding_of
from imgtool.data.mask_pairs import check_pairs, find_mask_pairs
from imgtool.errors import DataError


def pairs_of(data):
    return find_mask_pairs(data / "images", data / "masks")


def coding(data, *, objects=None, train=slice(None)):
    pairs = pairs_of(data)
    values = {pair: found.values for pair, found in check_pairs(pairs).items()}
    return coding_of(values, pairs[train], objects=objects)


def replace_mask(data, name, pixels, *, suffix="png"):
    (data / f"masks/{name}.png").unlink(missing_ok=True)
    path = data / f"masks/{name}.{suffix}"
    if suffix == "npy":
        np.save(path, pixels)
    elif suffix == "tif":
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        Image.fromarray(pixels).save(path)


def test_classes_are_the_values_in_their_order(data):
    replace_mask(data, "b", np.arange(48, dtype=np.uint8).reshape(6, 8) % 3 * 100)
    found = coding(data)
    assert found == Coding((0, 100, 200, 255))
    assert found.names == ("0", "100", "200", "255")
    assert not found.of_objects
    classes = found.classes(np.array([[255, 0, 100, 200]]))
    assert (classes.tolist(), classes.dtype) == ([[3, 0, 1, 2]], np.uint8)


def test_values_may_be_negative(data):
    replace_mask(data, "b", np.arange(48).reshape(6, 8) % 3 - 1, suffix="npy")
    assert coding(data).names == ("-1", "0", "1", "255")


def test_one_value_teaches_nothing(data):
    for name in "abc":
        replace_mask(data, name, np.full((6, 8), 7, np.uint8))
    with pytest.raises(DataError, match="all 3 masks hold the value 7 alone"):
        coding(data)


def blocks(count, side=4):
    """Numbered squares from 0 on."""
    return np.kron(np.arange(count, dtype=np.uint32).reshape(-1, 8), np.ones((side, side), np.uint32))


def test_many_values_are_objects_unless_they_are_told_to_be_classes(data):
    replace_mask(data, "b", blocks(48).astype(np.uint8))
    Image.new("L", (32, 24)).save(data / "images/b.png")
    found = coding(data)
    assert found.of_objects
    assert found.names == OBJECT_CLASSES
    with pytest.raises(DataError, match=rf"hold 49 values, .*b\.png 48 of them; .* at most {MAX_CLASSES}"):
        coding(data, objects=False)
    assert coding(data, objects=True, train=slice(1)).of_objects


def test_numbers_of_more_than_sixteen_bits_are_no_colours(data):
    replace_mask(data, "b", blocks(48) * 2000, suffix="npy")
    Image.new("L", (32, 24)).save(data / "images/b.png")
    assert coding(data).of_objects


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colored(*colors):
    pixels = np.zeros((6, 8, 3), np.uint8)
    for row, color in enumerate(colors, start=1):
        pixels[row] = color
    return pixels


def test_colours(data):
    for name in "abc":
        replace_mask(data, name, colored(RED, BLUE, GREEN))
    found = coding(data)
    assert found.colored
    assert set(found.names) == {"#000000", "#ff0000", "#00ff00", "#0000ff"}
    assert found.names[0] == "#000000"  # the background is the darkest
    classes = found.classes(pairs_of(data)[0].values())
    assert {found.names[classes[row, 0]] for row in (1, 2, 3)} == {"#ff0000", "#0000ff", "#00ff00"}
    assert found.names[classes[1, 0]] == "#ff0000"


def test_dark_colours_are_colours(data):
    """Blue and green alone are numbers below 65536."""
    for name in "abc":
        replace_mask(data, name, colored(BLUE, GREEN))
    assert coding(data).names == ("#000000", "#0000ff", "#00ff00")


def test_grey_in_colours_is_its_number(data):
    for name in "abc":
        replace_mask(data, name, colored((1, 1, 1), (2, 2, 2)))
    assert coding(data) == Coding((0, 1, 2))
    deep = colored((1, 1, 1), (2, 2, 2)).astype(np.uint16) * 300
    replace_mask(data, "b", deep, suffix="tif")
    assert set(np.unique(pairs_of(data)[1].values())) == {0, 300, 600}


def test_white_is_one_class_whether_its_mask_has_other_colours_or_not(data):
    replace_mask(data, "a", colored(WHITE))
    replace_mask(data, "b", colored(WHITE, RED))
    replace_mask(data, "c", colored(RED))
    found = coding(data)
    assert sorted(found.names) == ["#000000", "#ff0000", "#ffffff"]
    white = [found.names[found.classes(pair.values())[1, 0]] for pair in pairs_of(data)[:2]]
    assert white == ["#ffffff", "#ffffff"]


def test_a_palette_is_its_colours(data):
    for name in "abc":
        image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 3).convert("P")
        image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
        image.save(data / f"masks/{name}.png")
    assert set(coding(data).names) == {"#000000", "#c80000", "#0000c8"}


def test_too_many_colours_tell_of_smoothing(data):
    random = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    replace_mask(data, "b", random)
    with pytest.raises(DataError, match="classes are at most") as raised:
        coding(data)
    assert "JPEG" in raised.value.hint
    assert coding(data, objects=True).of_objects


def test_a_class_that_is_only_held_out_is_named(data):
    mask = np.zeros((6, 8), np.uint8)
    mask[0] = 9
    replace_mask(data, "c", mask)
    with pytest.raises(DataError, match=r"c\.png is held out and has the value 9"):
        coding(data, train=slice(0, 2))
    assert coding(data).names == ("0", "9", "255")
    replace_mask(data, "c", colored(RED))
    with pytest.raises(DataError, match=r"c\.png is held out and has the value #ff0000"):
        coding(data, train=slice(0, 2))


def disc(size, center, radius):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(y - center[0], x - center[1]) < radius


def test_core_and_rim_of_objects():
    labels = np.zeros((40, 60), np.int64)
    labels[disc(labels.shape, (20, 18), 12)] = 5
    labels[disc(labels.shape, (20, 38), 12) & (labels == 0)] = 90_000
    labels[3, 55] = 7  # a single pixel
    labels[30:32, 50:58] = 8  # two pixels thin
    classes = Coding(()).classes(labels)
    assert classes.dtype == np.uint8
    assert ((classes > 0) == (labels > 0)).all()
    for number in (5, 7, 8, 90_000):
        assert (classes[labels == number] == 1).any(), number  # each keeps a core
    assert classes[20, 18] == classes[20, 38] == 1
    from scipy import ndimage

    cores, count = ndimage.label(classes == 1)
    assert count == 4  # cores of objects that touch do not
    assert cores[20, 18] != cores[20, 38]
    assert classes[3, 55] == 1
    ring = disc(labels.shape, (20, 18), 12) & ~disc(labels.shape, (20, 18), 10)
    assert (classes[ring & (labels == 5)] == 2).mean() > 0.8


def test_an_object_at_the_border_has_no_rim_there():
    labels = np.zeros((20, 20), np.int64)
    labels[:9, :9] = 3
    classes = Coding(()).classes(labels)
    assert classes[0, 0] == 1
    assert classes[8, 4] == 2


def test_values_below_nought_are_background_where_objects_are_numbered():
    values = np.array([[-1, 0, 4, 4], [-1, 0, 4, 4]])
    coding = Coding(())
    assert ((coding.classes(values) > 0) == (values > 0)).all()
    assert ((coding.objects(values) != 0) == (values > 0)).all()


def test_picture_without_objects():
    assert (Coding(()).classes(np.zeros((9, 9), np.int64)) == 0).all()


def test_objects_of_classes_are_their_regions():
    values = np.array([[0, 7, 7, 0, 9], [0, 0, 0, 0, 9], [7, 0, 7, 7, 9]])
    objects = Coding((0, 7, 9)).objects(values)
    assert len(np.unique(objects[values == 7])) == 3
    assert len(np.unique(objects[values == 9])) == 1
    assert ((objects > 0) == (values > 0)).all()
    assert not set(np.unique(objects[values == 7])) & set(np.unique(objects[values == 9]))


def smoothed(side=96):
    """A picture of discs whose edges are soft."""
    y, x = np.mgrid[:side, :side]
    mask = np.zeros((side, side))
    for row, column in ((30, 30), (64, 70), (20, 76)):
        mask = np.maximum(mask, np.clip((16 - np.hypot(y - row, x - column)) / 5, 0, 1))
    return np.rint(mask * 255).astype(np.uint8)


def shaded(side=96):
    """Broad stripes, each of one grey and one pixel."""
    return np.tile(np.arange(side, dtype=np.uint8), (side, 1))


def noisy(side=96):
    return np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)


@pytest.mark.parametrize("picture", [smoothed, shaded, noisy])
def test_greys_are_no_numbers_of_objects(data, picture):
    replace_mask(data, "b", picture())
    with pytest.raises(DataError, match=r"no objects but fragments: .*b\.png holds \d+") as raised:
        coding_of_masks(data)
    assert "--objects if each value is one object" in raised.value.hint
    assert coding_of_masks(data, objects=True).of_objects


def coding_of_masks(data, *, objects=None):
    """Whatever the sizes of the images."""
    pairs = pairs_of(data)
    return coding_of({pair: np.unique(pair.values()) for pair in pairs}, pairs, objects=objects)


def test_objects_may_be_cut_in_two_or_be_small_if_most_are_not(data):
    labels = blocks(48).astype(np.uint8)
    labels[:, 8:10] = 0  # cuts some
    labels[0, 20] = 255
    replace_mask(data, "b", labels)
    assert coding_of_masks(data).of_objects


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_masks_are_refused_unless_they_are_told_to_be_right(data, suffix):
    y, x = np.mgrid[:96, :96]
    replace_mask(data, "b", np.uint8(255) * (np.hypot(y - 40, x - 50) < 30), suffix=suffix)
    held = np.unique(pairs_of(data)[1].values())
    assert len(held) > 2
    with pytest.raises(
        DataError, match=rf"b\.{suffix} holds {len(held)} values, and its compression"
    ) as raised:
        coding_of_masks(data)
    assert "without smoothing or JPEG" in raised.value.hint
    assert coding_of_masks(data, objects=True).of_objects
    (data / f"masks/b.{suffix}").unlink()
    replace_mask(data, "b", np.full((6, 8), 255, np.uint8), suffix=suffix)
    assert coding_of_masks(data).names == ("0", "255")  # nothing is made of one colour


def numbered(*counts, gap=False, side=30):
    """For each count a picture of so many objects, numbered from 1 on, or with a gap."""
    pictures = []
    for count in counts:
        labels = np.zeros((side, side), np.uint8)
        for number in range(count):
            row, column = divmod(number, 4)
            labels[7 * row + 1 : 7 * row + 6, 7 * column + 1 : 7 * column + 6] = (
                number + 1 + gap * (number > 0)
            )
        pictures.append(labels)
    return pictures


def guessed(data, pictures, *, suffix="png", **more):
    for name, picture in zip("abc", pictures, strict=True):
        replace_mask(data, name, picture, suffix=suffix)
    return coding_of_masks(data, **more)


def test_few_objects_are_guessed_by_their_numbers(data):
    found = guessed(data, numbered(3, 5, 2))
    assert found.of_objects
    assert str(found) == "numbers of objects (--classes if each is a class)"
    told = guessed(data, numbered(3, 5, 2), objects=False)
    assert str(told) == "classes 0, 1, 2, 3, 4, 5"


def test_pictures_of_sixteen_bits_hold_objects(data):
    assert guessed(data, [each.astype(np.uint16) for each in numbered(3, 3, 3)]).of_objects
    assert guessed(data, [each.astype(np.uint16) for each in numbered(2, 2, 2)], suffix="tif").of_objects


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param(numbered(3, 3, 3), id="the same in each, as organs are"),
        pytest.param(numbered(1, 2, 2), id="an organ, and sometimes something in it"),
        pytest.param(numbered(3, 2, 4, gap=True), id="some that are not there"),
        pytest.param([255 - each for each in numbered(3, 4, 5)], id="no black background"),
        pytest.param([np.tile(each, (2, 1)) for each in numbered(3, 4, 5)], id="two regions each"),
    ],
)
def test_few_values_are_classes_unless_they_number_objects(data, pictures):
    found = guessed(data, pictures)
    assert not found.of_objects
    assert str(found).endswith(" (--objects if each value is one object)")
    assert guessed(data, pictures, objects=True).of_objects


def test_an_array_of_many_bits_says_nothing_of_objects(data):
    assert not guessed(data, [each.astype(np.int64) for each in numbered(3, 3, 3)], suffix="npy").of_objects


def test_a_picture_of_two_values_is_no_guess(data):
    assert str(coding(data)) == "classes 0, 255"
