"""Captchas: a text that bends, with everything known about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imgtool.errors import OptionError
from imgtool.imaging.fonts import Font, lacking
from imgtool.imaging.glyphs import GlyphSet, without_look_alikes
from imgtool.imaging.wave import grid_of
from imgtool.options.captcha import BACKGROUNDS, CaptchaOptions
from imgtool.runtime.signals import undisturbed
from imgtool.tasks.captcha_drawing import Drawing, Studio, fitted_scene, noise_table
from imgtool.tasks.captcha_plan import BLOCK, MARGIN, Plan, plan, texts_of
from imgtool.tasks.captcha_truth import Glyph

Pixels = NDArray[np.uint8]
MIN_EM = 10.0  # pixels; smaller letters cannot be read
LARGEST_EM = 512  # pixels at which glyphs are kept; larger ones are scaled
MOST_COMPARED = 300  # characters; among more, look-alikes are not searched for
APART = (-0.1, -0.05)  # overlap where that of the style hides too much
LONGEST_GIVEN = 1000  # texts that are tried for room


@dataclass(frozen=True)
class Captcha:
    """A picture of a text.

    Attributes:
        index: its number.
        text: what it says.
        pixels: (H, W, 3), RGB.
        glyphs: one a character; () unless asked for.
        mask: (H, W), k where the ink of glyph k (from 1) is uppermost, else 0; None unless asked for.
    """

    index: int
    text: str
    pixels: Pixels
    glyphs: tuple[Glyph, ...] = ()
    mask: Pixels | None = None


class Captchas:
    """Captchas of one style and seed; number i is the same whenever it is drawn.

    Args:
        options: the style.
        fonts: F of them, from `find_fonts`.
        alphabet: what random texts are made of; None finds out, leaving look-alikes away.
        scenes: pictures to take backgrounds from, (H, W, 3) each; with a background that is none of BACKGROUNDS.
        secure: take texts from the system's randomness; pixels still come from the seed.

    Attributes:
        alphabet: what random texts are made of.
        look_alikes: what was left out of it.
    Raises:
        OptionError: a font lacks a character, texts do not fit in their picture, or there is no background.
    """

    def __init__(
        self,
        options: CaptchaOptions,
        fonts: Sequence[Font],
        *,
        alphabet: str | None = None,
        scenes: Iterable[Pixels] = (),
        secure: bool = False,
    ) -> None:
        self.options, self.secure = options, secure
        given = options.words if options.text is None else (options.text,)
        used = "".join(dict.fromkeys("".join(given) or options.alphabet))
        _require_glyphs(fonts, used)
        self.alphabet, self.look_alikes = used, ""
        if alphabet is not None:
            self.alphabet = alphabet
        elif not given and len(used) <= MOST_COMPARED:
            self.alphabet, self.look_alikes = without_look_alikes(
                fonts, used, options.look_alike, options.rotation
            )
        width, height = options.size
        # No larger than a glyph can become, and not so large that all of them would fill the memory.
        em = min(options.font_size[1] * height, 2 * width, LARGEST_EM)
        glyphs = GlyphSet.of(fonts, used, max(8, round(em)))
        _require_room(options, glyphs, given)
        backgrounds = [fitted_scene(scene, width, height) for scene in scenes]
        if bool(backgrounds) == (options.background in BACKGROUNDS):
            found = "has pictures" if backgrounds else "is no picture that was given"
            raise OptionError("background", f"{options.background!r} {found}")
        self.studio = Studio(
            options,
            glyphs,
            grid_of(height, width),
            noise_table(options.noise, width * height * 3),
            backgrounds,
            self._plan,
        )
        self._texts: dict[int, tuple[str, ...]] = {}
        self._plans: dict[bool, tuple[int, Plan]] = {}

    def draw(self, index: int, *, truth: bool = True, mask: bool = False) -> Captcha:
        """Captcha number `index`.

        Args:
            index: from 0 on.
            truth: with all glyphs.
            mask: with the mask of glyphs.
        """
        with undisturbed():
            drawing = Drawing(self.studio, index)
            return Captcha(
                index,
                self.text(index),
                drawing.pixels(),
                drawing.glyphs() if truth else (),
                drawing.mask() if mask else None,
            )

    def text(self, index: int) -> str:
        """What captcha number `index` says."""
        return self._texts_of(index // BLOCK)[index % BLOCK]

    def centers(self, index: int) -> NDArray[np.float64]:
        """Where the middles of the glyphs of captcha number `index` are, (glyphs, 2) as (x, y) pixels.

        Of the few whose glyphs are moved apart to be seen, where they would have been.
        """
        numbers, at = self._plan(index // BLOCK, False), index % BLOCK
        return numbers.wave(at).moved(numbers.places[at, : int(numbers.counts[at])])

    @cached_property
    def _apart(self) -> CaptchaOptions:
        """The style without overlap; made once, for checking the texts of a style takes a while."""
        return replace(self.options, overlap=APART)

    def _plan(self, block: int, apart: bool) -> Plan:
        """The numbers of a block; the last ones of each kind are kept."""
        known = self._plans.get(apart)
        if known is None or known[0] != block:
            options = self._apart if apart else self.options
            known = block, plan(options, self.studio.glyphs, block, self._texts_of(block))
            self._plans[apart] = known
        return known[1]

    def _texts_of(self, block: int) -> tuple[str, ...]:
        """The texts of a block; secure ones are kept, for they could not be had again."""
        if block not in self._texts:
            if not self.secure:
                self._texts.clear()
            self._texts[block] = texts_of(self.options, self.alphabet, block, secure=self.secure)
        return self._texts[block]


def _require_glyphs(fonts: Sequence[Font], characters: str) -> None:
    for font in fonts:
        if missing := lacking(font, characters):
            few = "".join(each if each.isalnum() else f" U+{ord(each):04X}" for each in missing[:20]).strip()
            shown = few if len(missing) <= 20 else f"{few}… ({len(missing)} characters)"
            raise OptionError(
                "font",
                f"{font.name} has no glyph for {shown}",
                hint="another --font, or texts and an --alphabet without it",
            )


def _require_room(options: CaptchaOptions, glyphs: GlyphSet, given: Sequence[str]) -> None:
    """Refuse texts that might be too small to read: of their widest and highest glyphs, as far as they may turn."""
    width, height = options.size
    margin = 2 * (options.wave[1] * height + MARGIN)
    smallest = options.font_size[0] * height
    reach = glyphs.reach(options.rotation, options.shear) * smallest / glyphs.size  # (C, 2)
    index = {character: at for at, character in enumerate(glyphs.characters)}
    texts = sorted(given, key=len)[-LONGEST_GIVEN:]
    rows = [reach[[index[c] for c in text], 0].sum() for text in texts]
    text_width = max(rows, default=options.length[1] * reach[:, 0].max())
    text_width *= 1 - max(0.0, options.overlap[0])
    room_x, room_y = width - margin, height - margin
    em = smallest * max(0.0, min(1.0, room_x / text_width, room_y / reach[:, 1].max()))
    if em >= MIN_EM:
        return
    hint = "a lower --wave or --font-size, or less --rotation"
    if room_y >= reach[:, 1].max():
        hint = f"--size {round(text_width * MIN_EM / smallest + margin + 1)}x{height}, or shorter texts"
    if smallest < MIN_EM:
        factor = 1.05 * MIN_EM / max(em, 1.0)
        hint = f"--size {round(width * factor + 1)}x{round(height * factor + 1)}, or a larger --font-size"
    what = f"{max(map(len, given), default=options.length[1])} characters"
    raise OptionError(
        "size",
        f"{what} in {width}x{height} may be {em:.0f} pixels high, expected at least {MIN_EM:.0f}",
        hint=hint,
    )
