"""Sheets: every panel is there and recognisable, and curves stand where their numbers are."""

import numpy as np
import pytest
from PIL import ImageColor

from imgtool.imaging import sheet as module
from imgtool.imaging.picture import Picture
from imgtool.imaging.sheet import COLORS, draw_sheet

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (40, 60, 200)


def flat(color, height=30, width=40, alpha=None):
    pixels = np.full((height, width, 3), color, np.uint8)
    return Picture(pixels=pixels, alpha=None if alpha is None else np.full((height, width), alpha, np.uint8))


def where(sheet, color, tolerance=6):
    """(rows, columns) of the pixels of a color."""
    return np.nonzero((abs(sheet.pixels.astype(int) - color) <= tolerance).all(2))


def curve(sheet, number=0):
    """(rows, columns) of a curve below the legend."""
    rows, columns = where(sheet, ImageColor.getrgb(COLORS[number]), 40)
    below = rows > sheet.height * 0.1
    return rows[below], columns[below]


def test_panels_stand_in_order_at_one_height():
    sheet = draw_sheet(
        [("a", flat(RED)), ("b", flat(GREEN, 80, 60)), ("c", flat(BLUE, 300, 300))], panel_px=128
    )
    found = [where(sheet, color) for color in (RED, GREEN, BLUE)]
    assert [columns.min() for _, columns in found] == sorted(columns.min() for _, columns in found)
    tops, bottoms = {rows.min() for rows, _ in found}, {rows.max() for rows, _ in found}
    assert len(tops) == len(bottoms) == 1
    assert bottoms.pop() - tops.pop() == pytest.approx(128, abs=3)
    for (rows, columns), aspect in zip(found, (40 / 30, 60 / 80, 1), strict=True):
        assert np.ptp(columns) / np.ptp(rows) == pytest.approx(aspect, rel=0.05)
    assert sheet.pixels.dtype == np.uint8 and sheet.alpha is None
    assert (sheet.pixels[[0, -1]] == 255).all() and (sheet.pixels[:, [0, -1]] == 255).all()


def test_titles_are_written_above_their_panels():
    sheet = draw_sheet([("left", flat(RED)), ("", flat(GREEN))])
    middle = (where(sheet, RED)[1].max() + where(sheet, GREEN)[1].min()) // 2
    top = where(sheet, RED)[0].min() - 2
    assert sheet.pixels[:top, :middle].min() < 100
    assert sheet.pixels[:top, middle:].min() == 255


def test_a_title_above_a_small_panel_can_be_read():
    sheet = draw_sheet([("EH", flat(RED, 60, 160))], panel_px=60)
    ink = (sheet.pixels[: where(sheet, RED)[0].min() - 2] < 100).all(2)
    assert np.ptp(ink.any(1).nonzero()[0]) >= 7


def test_a_title_stays_above_its_panel():
    long = draw_sheet([("a title of many words " * 9, flat(RED, 90, 30)), ("", flat(GREEN))])
    short = draw_sheet([("x", flat(RED, 90, 30)), ("", flat(GREEN))])
    assert long.width < short.width + 512
    ink = (long.pixels[: where(long, RED)[0].min() - 2] < 100).all(2).nonzero()[1]
    assert ink.size and ink.max() < where(long, GREEN)[1].min()


def test_transparency_shows_a_checkerboard():
    clear = draw_sheet([("", flat(RED, alpha=0))])
    assert len(where(clear, RED)[0]) == 0
    light, dark = (len(where(clear, (grey,) * 3, 0)[0]) for grey in (255, 218))
    assert dark == pytest.approx(512 * 683 / 2, rel=0.05) and light > dark
    half = draw_sheet([("", flat((200, 0, 0), alpha=128))])
    for grey in (255, 218):
        assert len(where(half, [(value + grey) / 2 for value in (200, 0, 0)], 2)[0]) > 100_000
    solid, plain = draw_sheet([("", flat(RED, alpha=255))]), draw_sheet([("", flat(RED))])
    assert np.array_equal(solid.pixels, plain.pixels)


def test_colours_behind_clear_pixels_do_not_bleed():
    """A resize without premultiplied alpha would draw a green rim."""
    pixels = np.full((64, 64, 3), (200, 0, 0), np.uint8)
    pixels[:, 32:] = (0, 255, 0)
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:, 32:] = 0
    sheet = draw_sheet([("", Picture(pixels=pixels, alpha=alpha))]).pixels.astype(int)
    assert (sheet[..., 1] - sheet[..., 0]).max() <= 0


def test_16_bits():
    deep = Picture(pixels=np.full((20, 20, 3), 51400, np.uint16), alpha=np.full((20, 20), 65535, np.uint16))
    assert len(where(draw_sheet([("", deep)]), (200, 200, 200), 0)[0]) > 250_000


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 2), (3, 1), (1, 5000), (5000, 1), (7, 300), (2000, 3000)]
)
def test_any_shape(height, width):
    sheet = draw_sheet([("extreme", flat(RED, height, width)), ("b", flat(GREEN))], panel_px=64)
    assert len(where(sheet, RED)[0]) >= 40
    assert len(where(sheet, GREEN)[0]) > 4000
    assert sheet.width < 64 * 6 and sheet.height < 64 * 1.5


def test_tiny_pictures_show_their_pixels():
    sheet = draw_sheet([("", Picture(pixels=np.array([[RED, BLUE]], np.uint8)))])
    assert len(where(sheet, RED, 0)[0]) + len(where(sheet, BLUE, 0)[0]) > 0.98 * 512 * 1024


def test_many_panels_go_on_in_further_rows():
    sheet = draw_sheet([(f"{index}", flat(RED)) for index in range(40)], panel_px=40)
    area = len(where(sheet, RED)[0])
    assert area == pytest.approx(40 * 40 * 53, rel=0.1)
    assert sheet.width <= 40 * 11
    assert sheet.height < 40 * 13


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_sheet([])
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_sheet([], curves={})


def test_exponential_decay_is_a_straight_line():
    """Only so on a logarithmic scale."""
    rows, columns = curve(draw_sheet([], curves={"loss": [1000 * 0.5**step for step in range(20)]}))
    slope, start = np.polyfit(columns, rows, 1)
    assert slope > 0.3  # rows count down
    assert abs(slope * columns + start - rows).max() < 3
    assert np.ptp(columns) > 400 and np.ptp(rows) > 300


def test_curves_share_their_axes():
    sheet = draw_sheet([], curves={"high": [100.0] * 10, "low": [1.0] * 5, "middle": [10.0] * 10})
    high, low, middle = (curve(sheet, number) for number in range(3))
    assert np.median(middle[0]) == pytest.approx((np.median(high[0]) + np.median(low[0])) / 2, abs=2)
    assert np.ptp(low[1]) == pytest.approx(np.ptp(high[1]) * 4 / 9, abs=4)


def test_the_plot_stands_after_the_panels_and_is_as_high():
    sheet = draw_sheet([("", flat(RED))], curves={"loss": [3, 2, 1]})
    rows, columns = where(sheet, ImageColor.getrgb(COLORS[0]))
    panel = where(sheet, RED)
    assert columns.min() > panel[1].max() and rows.max() < panel[0].max()
    assert sheet.height == draw_sheet([("", flat(RED))]).height


@pytest.mark.parametrize(
    "values",
    [
        [],
        [5],
        [0],
        [0.0] * 9,
        [7.3] * 9,
        [0.0, 1e3, 10],
        [-1, 1, 2],
        [1e-30, 1e30],
        [5e-324, 1.7e308],
        [1, 1 + 1e-12],
        [float("inf"), 2, 1],
        (1, 2),
        np.array([3.0, 1.0]),
    ],
    ids=str,
)
def test_any_curve(values):
    sheet = draw_sheet([], curves={"any": values, "other": [1, 2, 3]})
    assert sheet.pixels.min() < 100  # axes and legend
    assert draw_sheet([], curves={"any": values}, panel_px=31).pixels.min() < 100
    drawn = [value for value in values if np.isfinite(value)]
    assert (len(curve(sheet)[0]) > 0) == bool(drawn)


def test_values_of_zero_lie_on_the_floor():
    sheet = draw_sheet([], curves={"zero": [0.0] * 20, "one": [1.0, 10.0]})
    assert np.median(curve(sheet, 0)[0]) > curve(sheet, 1)[0].max()


def test_very_long_curves_keep_their_extremes():
    values = np.ones(300_000)
    values[123_456] = 100
    rows, columns = curve(draw_sheet([], curves={"spike": values}))
    assert columns[rows.argmin()] - columns.min() == pytest.approx(np.ptp(columns) * 0.4115, abs=4)
    assert np.ptp(rows) > 300


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 1100, [1, 10, 100, 1000]),
        (0.9, 35, [1, 3, 10, 30]),
        (1, 8, [1, 2, 5]),
        (0.9, 1.2, [0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2]),
        (1e-9, 1e9, [1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert module.Axis(low, high, 0, 1, log=True).ticks() == pytest.approx(expected)


@pytest.mark.parametrize("span", [1e-9, 1e-3, 0.01, 0.3, 1, 2.5, 7, 40, 400])
@pytest.mark.parametrize("low", [1e-7, 0.33, 1, 8.1, 12345])
def test_there_are_always_a_few_ticks(low, span):
    ticks = module.Axis(low, low * 10**span, 0, 1, log=True).ticks() if span < 300 - np.log10(low) else [1, 2]
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


def test_columns():
    panels = [(f"{number}", flat(color)) for number, color in enumerate((RED, GREEN, BLUE))]
    sheet = draw_sheet(panels, panel_px=64, columns=2)
    red, green, blue = ([axis.min() for axis in where(sheet, color)] for color in (RED, GREEN, BLUE))
    assert red[0] == green[0] < blue[0]
    assert red[1] < blue[1] < green[1]
