"""Draw the three style pictures of this folder: `python examples/make_styles.py [FOLDER]`.

Numpy and Pillow only, and the same pictures every time. `night.jpg` is painted in thick strokes along a
swirling flow, `window.jpg` is leaded glass, `waves.jpg` a colour woodcut. They are free for any use (CC0).
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[Any]
WIDTH, HEIGHT = 640, 512
FINE = 2  # what is drawn with Pillow is drawn this much larger and then reduced, for smooth edges


def main(folder: Path) -> None:
    """Write all three."""
    for name, draw in PICTURES.items():
        draw().save(folder / f"{name}.jpg", quality=90)


def colors(*codes: str) -> Array:
    """Hexadecimal colours as (N, 3) in [0, 1]."""
    return np.array([[int(code[at : at + 2], 16) for at in (0, 2, 4)] for code in codes], np.float32) / 255


def ramp(palette: Array, at: Array) -> Array:
    """Colours along a palette; 0 is its first, 1 its last."""
    place = np.clip(at, 0, 1) * (len(palette) - 1)
    return np.stack([np.interp(place, range(len(palette)), channel) for channel in palette.T], -1).astype("f")


def noise(rng: np.random.Generator, height: int, width: int, cell: tuple[float, float]) -> Array:
    """Smooth noise in [0, 1], (height, width), with blobs of `cell` (high, wide) pixels."""
    coarse = rng.random((int(height / cell[0]) + 3, int(width / cell[1]) + 3), np.float32)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large).clip(0, 1)


def grid() -> tuple[Array, Array]:
    """x and y of every pixel."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return x, y


def to_picture(pixels: Array) -> Image.Image:
    """An RGB picture of values in [0, 1]."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


# ---------------------------------------------------------------- night: thick paint along a swirling flow

# Middle and radius: what shines, and where the air only turns.
LIGHTS = (
    (128, 92, 34),
    (252, 60, 20),
    (372, 150, 24),
    (546, 96, 44),
    (470, 212, 17),
    (60, 214, 18),
    (268, 216, 15),
)
SWIRLS = ((196, 190, 40), (330, 250, 30), (420, 50, 30), (600, 250, 26), (20, 40, 24))


def night() -> Image.Image:
    """Lights over hills, in strokes of a loaded brush."""
    rng = np.random.default_rng(1)
    scene, angle = night_scene(rng)
    size = (WIDTH * FINE, HEIGHT * FINE)
    paint = Image.new("RGB", size, "#1a2c5c")
    relief = Image.new("L", size, 90)
    for count, length, width in ((1500, 64, 17), (2600, 44, 11), (2600, 30, 7)):
        strokes(paint, relief, scene, angle, rng, count, length, width)
    paint, relief = (image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS) for image in (paint, relief))
    # Light from the upper left over the ridges that bristles leave.
    slope_y, slope_x = np.gradient(np.asarray(relief.filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255)
    light = np.asarray(-(slope_x + 1.3 * slope_y))
    lit = np.asarray(paint, np.float32) / 255
    lit = lit * (1 + 1.5 * np.clip(light, -0.3, 0.3))[..., None]
    return to_picture(lit + 0.9 * np.clip(light - 0.12, 0, 1)[..., None])


def night_scene(rng: np.random.Generator) -> tuple[Array, Array]:
    """What is painted, (H, W, 3), and which way the brush goes there, (H, W) in radians."""
    x, y = grid()
    ridge = 330 + 34 * np.sin(x / 97 + 0.6) + 16 * np.sin(x / 41) - 20 * np.exp(-(((x - 500) / 90) ** 2))
    field = 420 + 18 * np.sin(x / 120 + 2) + 8 * np.sin(x / 47)
    stream = 0.006 * y + 0.7 * noise(rng, HEIGHT, WIDTH, (150, 210))
    for cx, cy, radius in (*LIGHTS, *SWIRLS):
        distance = np.hypot(x - cx, y - cy)
        stream += np.float32(0.055 * radius) * np.exp(-distance / np.float32(1.6 * radius))
    slope_y, slope_x = np.gradient(stream)
    angle = np.arctan2(-slope_x, slope_y)
    bands = 0.5 + 0.5 * np.sin(11 * stream) * (0.5 + 0.5 * noise(rng, HEIGHT, WIDTH, (60, 60)))
    scene = ramp(colors("14205a", "1f3f93", "2f6bb8", "6fa9cf", "b9d6cf"), bands * (0.62 + 0.4 * y / 330))
    for cx, cy, radius in LIGHTS:
        distance = np.hypot(x - cx, y - cy) / np.float32(radius)
        glow = ramp(colors("fff6c9", "ffd84a", "f3a52c", "c8c06a", "5f93b4"), distance / 2.4)
        rings = 0.82 + 0.18 * np.cos(7.5 * distance)
        share = smoothstep(2.6, 0.9, distance) * np.where(distance < 0.9, 1, rings)
        scene = scene + share[..., None] * (glow - scene)
    hills = ramp(
        colors("0e2440", "174a63", "1f6f6b", "58905c"), 0.5 + 0.5 * np.sin((y - ridge) / 11 + x / 60)
    )
    wheat = ramp(
        colors("8a4f14", "d48a1c", "f4c02f", "ffe58a"), noise(rng, HEIGHT, WIDTH, (18, 34)) * 1.3 - 0.15
    )
    hill_angle = np.arctan(np.gradient(ridge, axis=1)) + 0.25 * np.sin(y / 16)
    wheat_angle = -1.15 + 0.5 * np.sin(x / 70) + 0.35 * noise(rng, HEIGHT, WIDTH, (40, 40))
    scene = np.where((y > ridge)[..., None], hills, scene)
    scene = np.where((y > field)[..., None], wheat, scene)
    angle = np.where(y > field, wheat_angle, np.where(y > ridge, hill_angle, angle))
    return scene.astype("f"), angle.astype("f")


def strokes(
    paint: Image.Image,
    relief: Image.Image,
    scene: Array,
    angle: Array,
    rng: np.random.Generator,
    count: int,
    length: float,
    width: float,
) -> None:
    """Lay strokes of about `length` x `width` pixels on the paint, and their bristles on the relief."""
    steps, across = 9, max(4, round(width / 1.7))
    path, normal = brush_paths(angle, rng, count, steps, length)
    load = look_up(scene, path[:, steps // 2])
    load = load + rng.normal(0, 0.045, (count, 3)) + rng.normal(0, 0.05, (count, 1))
    swell = np.sin(np.linspace(0.35, np.pi - 0.25, steps)) ** 0.5  # a stroke is narrower at its ends
    on_paint, on_relief = ImageDraw.Draw(paint), ImageDraw.Draw(relief)
    thick = round(FINE * width / across * 1.6)
    for number in range(count):
        for bristle in range(across):
            side = bristle / (across - 1) - 0.5
            line = path[number] + normal[number] * (swell * side * width)[:, None]
            first, last = rng.integers(0, 2), steps - rng.integers(0, 3)
            points = [tuple(point) for point in (line[first:last] * FINE).tolist()]
            tone = load[number] * (1 + rng.normal(0, 0.09)) + rng.normal(0, 0.015)
            on_paint.line(points, tuple((np.clip(tone, 0, 1) * 255).astype(int).tolist()), thick, "curve")
            # Paint is pushed to the sides of a stroke.
            on_relief.line(points, int(90 + 260 * abs(side) ** 1.5 + rng.integers(0, 60)), thick, "curve")


def brush_paths(
    angle: Array, rng: np.random.Generator, count: int, steps: int, length: float
) -> tuple[Array, Array]:
    """Points (x, y) of strokes that follow the flow, and the direction across: (count, steps, 2)."""
    path, normal = np.empty((count, steps, 2)), np.empty((count, steps, 2))
    at = rng.random((count, 2)) * (WIDTH + 60, HEIGHT + 40) - (30, 20)
    stride = length * rng.uniform(0.6, 1.2, (count, 1)) / steps
    for step in range(steps):
        heading = look_up(angle, at)
        ahead = np.stack([np.cos(heading), np.sin(heading)], -1)
        path[:, step], normal[:, step] = at, ahead[:, ::-1] * (-1, 1)
        at = at + ahead * stride
    return path, normal


def look_up(values: Array, points: Array) -> Array:
    """Values at points (x, y), at the border for those outside."""
    column, row = (np.clip(points, 0, (WIDTH - 1, HEIGHT - 1))).astype(int).T
    found: Array = values[row, column]
    return found


# ---------------------------------------------------------------- window: leaded glass

SUN = (330.0, 196.0)


def window() -> Image.Image:
    """A sun over water, in glass."""
    rng = np.random.default_rng(7)
    seeds, palette = window_panes(rng)
    pane, distance, ahead = nearest_panes(seeds)
    x, y = grid()
    # Rolled glass: streaks that run another way in each pane, ripples, and a brighter middle.
    kinds = [streaks(rng, turn) for turn in np.linspace(0, 150, 6)]
    streak = np.choose(rng.integers(0, 6, len(seeds))[pane], kinds)
    ripple = noise(rng, HEIGHT, WIDTH, (7, 7))
    cx, cy = seeds[pane, 0], seeds[pane, 1]
    tilt = rng.normal(0, 0.012, (len(seeds), 2)).astype("f")[pane]
    slant = (x - cx) * tilt[..., 0] + (y - cy) * tilt[..., 1]
    tone = 0.86 + 0.40 * (streak - 0.5) + 0.20 * (ripple - 0.5) + slant + 0.16 * smoothstep(0, 16, distance)
    glass = palette[pane] * tone[..., None]
    glass += 0.22 * (np.clip(streak + ripple - 1.18, 0, 1) * 2)[..., None]  # seeds and sparkle
    # The edge of a pane towards the upper left is lit, the opposite one lies in shadow.
    edge = np.exp(-(((distance - 3.8) / 2.2) ** 2)) * ahead
    glass = glass * (1 + 0.28 * edge[..., None]) + 0.10 * np.clip(edge, 0, 1)[..., None]
    came = smoothstep(3.0, 2.0, distance)
    round_lead = np.sqrt(np.clip(1 - (distance / 2.8) ** 2, 0, 1))
    lead = 0.07 + 0.13 * round_lead * (0.6 + 0.8 * noise(rng, HEIGHT, WIDTH, (5, 5)))
    lead = lead[..., None] * colors("f0f2ff")[0]
    return to_picture(glass + came[..., None] * (lead - glass))


def window_panes(rng: np.random.Generator) -> tuple[Array, Array]:
    """The middle of each pane, (N, 2), and its colour, (N, 3)."""
    seeds: list[tuple[float, float]] = [SUN]
    tones = [colors("fff3b0")[0]]
    fire = colors("ffe066", "ffb627", "f77f1e", "e2472a", "b3163f", "7a1a6b")
    sky = colors("1746a8", "1f7ac4", "2fb0d0", "14307e", "3a54c8", "6fd0d8")
    sea = colors("0c5a5e", "12806f", "1fa58a", "0a3f66", "1b6fa0", "8fd0a0")
    for ring in range(1, 19):
        radius = 22 + 31.0 * (ring - 1)
        around = max(7, round(2 * np.pi * radius / (40 if ring > 5 else 30)))
        for spoke in range(around):
            turn = 2 * np.pi * (spoke + 0.5 * (ring % 2)) / around + rng.normal(0, 0.02 if ring < 6 else 0.05)
            reach = radius + rng.normal(0, 1.2 if ring < 6 else 5)
            px, py = SUN[0] + reach * np.cos(turn), SUN[1] + reach * np.sin(turn)
            shore = 352 + 16 * np.sin(px / 75)
            if not (-30 < px < WIDTH + 30 and -30 < py < HEIGHT + 30) or py > shore - 6:
                continue
            seeds.append((px, py))
            ray = (turn * 16 / (2 * np.pi)) % 1 < 0.5
            if ring < 6:
                tones.append(fire[ring - 1 if ray else min(ring, 5)])
            else:
                tones.append(sky[rng.integers(0, 3) + (0 if ray else 3)])
    for row, py in enumerate(np.arange(354, HEIGHT + 40, 25.0)):
        for px in np.arange(-20, WIDTH + 30, 52.0):
            qx = px + 26 * (row % 2) + rng.normal(0, 5)
            seeds.append((qx, py + 16 * np.sin(qx / 75) * (1 - row / 9) + rng.normal(0, 2)))
            glitter = abs(qx - SUN[0]) < 40 + 11 * row and rng.random() < 0.6
            tones.append(fire[rng.integers(0, 4)] if glitter else sea[rng.integers(0, len(sea))])
    jitter = 1 + rng.normal(0, 0.10, (len(seeds), 1))
    return np.array(seeds, np.float32), np.clip(np.array(tones) * jitter, 0, 1).astype("f")


def nearest_panes(seeds: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Which pane each pixel lies in, how far its border is, and how much that border faces the upper left."""
    pane = np.empty((HEIGHT, WIDTH), np.intp)
    distance, ahead = np.empty((HEIGHT, WIDTH), np.float32), np.empty((HEIGHT, WIDTH), np.float32)
    x = np.arange(WIDTH, dtype=np.float32)
    for y in range(HEIGHT):
        near = np.flatnonzero(abs(seeds[:, 1] - y) < 110)
        squares = (x[:, None] - seeds[near, 0]) ** 2 + (y - seeds[near, 1]) ** 2
        order = np.argpartition(squares, 6, axis=1)[:, :7]
        found = np.take_along_axis(squares, order, 1)
        first = found.argmin(1)
        own = near[order[range(WIDTH), first]]
        others = near[order]
        gap = seeds[others] - seeds[own][:, None]
        length = np.hypot(gap[..., 0], gap[..., 1])
        to_border = np.where(length > 0, (found - found.min(1)[:, None]) / (2 * length + 1e-6), np.inf)
        closest = to_border.argmin(1)
        pane[y], distance[y] = own, to_border[range(WIDTH), closest]
        facing = gap[range(WIDTH), closest] / (length[range(WIDTH), closest][:, None] + 1e-6)
        ahead[y] = -(facing[:, 0] + facing[:, 1]) / np.sqrt(2)
    return pane, distance, ahead


def streaks(rng: np.random.Generator, degrees: float) -> Array:
    """Long streaks in one direction, in [0, 1]."""
    side = WIDTH + HEIGHT
    texture = 0.65 * noise(rng, side, side, (6, 60)) + 0.35 * noise(rng, side, side, (2.5, 26))
    turned = Image.fromarray(texture).rotate(degrees, Image.Resampling.BILINEAR)
    left, top = (side - WIDTH) // 2, (side - HEIGHT) // 2
    return np.asarray(turned.crop((left, top, left + WIDTH, top + HEIGHT)))


# ---------------------------------------------------------------- waves: a colour woodcut

INK, PAPER = "#16233f", "#efe3c6"


def waves() -> Image.Image:
    """Waves under a red sun, printed from blocks."""
    rng = np.random.default_rng(3)
    sheet = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
    draw = ImageDraw.Draw(sheet)
    sun = np.array([452, 92]) * FINE
    draw.ellipse([*(sun - 58 * FINE), *(sun + 58 * FINE)], "#d6452b")
    clouds(draw, rng)
    tones = (
        ("#9dbcc0", "#dde3d0"),
        ("#7fa9b8", "#c9d9cf"),
        ("#4f86a6", "#a9c8cb"),
        ("#2f6796", "#8db9c6"),
        ("#1f4a80", "#6fa3bd"),
        ("#183a6b", "#5b93b5"),
    )
    for number, (deep, pale) in enumerate(tones):
        wave(
            draw,
            rng,
            base=176 + 58 * number,
            swell=26 + 8 * number,
            period=120 + 27 * number,
            shift=97 * number,
            deep=deep,
            pale=pale,
        )
    print_ = np.asarray(sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), np.float32) / 255
    # Bokashi: the sky's block was inked darker at its upper edge. Wood grain shows in every flat area.
    _, y = grid()
    bokashi = smoothstep(150, 0, y)[..., None] * (1 - colors("3f6f9a")[0]) * 0.75
    grain = noise(rng, HEIGHT, WIDTH, (2.2, 90)) * 0.6 + noise(rng, HEIGHT, WIDTH, (5, 160)) * 0.4
    fibre = noise(rng, HEIGHT, WIDTH, (1.5, 1.5))
    return to_picture(print_ * (1 - bokashi) * (0.86 + 0.16 * grain + 0.06 * fibre)[..., None])


def clouds(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Flat bands of mist with rounded ends."""
    for y in (34, 58, 82, 106, 130, 154):
        for _ in range(2):
            left, length = rng.uniform(-80, WIDTH), rng.uniform(90, 220)
            box = [v * FINE for v in (left, y, left + length, y + 13)]
            draw.rounded_rectangle(box, 7 * FINE, "#f6edd6", INK, FINE)


def crest(x: Array, base: float, swell: float, period: float, shift: float) -> Array:
    """Height of a wave's crest line: pointed tops, round hollows, leaning to one side."""
    phase = 2 * np.pi * (x + shift) / period
    phase = phase + 0.55 * np.sin(phase + 0.9)
    pointed = 1 - np.abs(np.sin(phase / 2)) ** 0.8
    line: Array = base - swell * (1.7 * pointed - 0.6) + 5 * np.sin(x / 61 + shift)
    return line


def wave(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    *,
    base: float,
    swell: float,
    period: float,
    shift: float,
    deep: str,
    pale: str,
) -> None:
    """One row of waves: a flat block, paler bands that follow the crest, ink lines, foam."""
    x = np.arange(-20, WIDTH + 20, 2, dtype=np.float32)
    top = crest(x, base, swell, period, shift)
    fill(draw, x, top, np.full_like(x, HEIGHT + 10), deep)
    hollow = (top - top.min()) / (np.ptp(top) + 1e-6)  # 0 on the tops, 1 in the hollows
    for band in range(7):
        depth = 9 + 15 * band + 4 * np.sin(x / 33 + band)
        line = top + depth * (0.75 + 0.75 * (1 - hollow))
        width = (6.5 - 0.7 * band) * np.clip(0.45 + 0.75 * np.sin(x / 43 + 1.9 * band + shift), 0, 1)
        fill(draw, x, line - width / 2, line + width / 2, pale)
        fine = line + 6.5
        stroke = 1.9 * np.clip(np.sin(x / 37 + 2.6 * band), 0, 1)
        fill(draw, x, fine - stroke / 2, fine + stroke / 2, INK)
    foam(draw, rng, x, top, hollow)


def foam(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: Array, top: Array, hollow: Array) -> None:
    """Scallops along the crest, larger on the tops, and spray above them."""
    balls = []
    for at in range(0, len(x), 3):
        high = 1 - hollow[at]
        for _ in range(int(4.2 * high + rng.random())):
            radius = rng.uniform(1.8, 3.2) + 6 * high * rng.random()
            balls.append((x[at] + rng.normal(0, 3), top[at] + rng.uniform(-2, 4 + 14 * high**2), radius))
        if high > 0.55 and rng.random() < 0.8:
            spray = rng.uniform(0.8, 2.4)
            up = rng.exponential(15) + 8
            disc(draw, x[at] + rng.normal(0, 10), top[at] - up, spray, "#fbf6e6")
    for bx, by, radius in balls:
        disc(draw, bx, by, radius + 1.1, INK)
    for bx, by, radius in balls:
        disc(draw, bx, by, radius, "#fbf6e6")


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: str) -> None:
    """A filled circle."""
    draw.ellipse([v * FINE for v in (x - radius, y - radius, x + radius, y + radius)], color)


def fill(draw: ImageDraw.ImageDraw, x: Array, upper: Array, lower: Array, color: str) -> None:
    """The area between two lines."""
    outline = np.concatenate([np.stack([x, upper], -1), np.stack([x, lower], -1)[::-1]]) * FINE
    draw.polygon([tuple(point) for point in outline.tolist()], color)


PICTURES: dict[str, Callable[[], Image.Image]] = {"night": night, "window": window, "waves": waves}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
