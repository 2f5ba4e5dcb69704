"""`imgtool.captchas`: draw captchas, from Python."""

from collections.abc import Iterator
from typing import Any

from imgtool.api.inputs import PictureLike, options_of, picture_of
from imgtool.errors import OptionError
from imgtool.imaging.fonts import find_fonts
from imgtool.imaging.picture import to_8_bits
from imgtool.options.captcha import CaptchaOptions
from imgtool.tasks.captcha import Captcha, Captchas


def captchas(
    count: int,
    level: str = "medium",
    *,
    start: int = 0,
    backgrounds: list[PictureLike] | None = None,
    masks: bool = False,
    secure: bool = False,
    **options: Any,
) -> Iterator[Captcha]:
    """Draw captchas, as `imgtool captcha-gen` does.

    Args:
        count: how many.
        level: "easy", "medium" or "hard".
        start: number of the first; number i depends on the seed and on i alone.
        backgrounds: pictures to draw on.
        masks: with the mask of glyphs.
        secure: take texts from the system's randomness.
        **options: fields of `CaptchaOptions`, such as `fonts`, a tuple of files, folders or families.
    Raises:
        OptionError, BadImage: see `imgtool.errors`.
    Example:
        >>> for captcha in captchas(2, "easy", text="HELLO", seed=7):
        ...     print(captcha.text, captcha.pixels.shape)
        HELLO (60, 160, 3)
        HELLO (60, 160, 3)
    """
    if count < 0:
        raise OptionError("count", f"must be at least 0, got {count}")
    scenes = [to_8_bits(picture_of(each, "backgrounds").pixels) for each in backgrounds or ()]
    if scenes:
        options.setdefault("background", "given")
    given = options_of("captchas", CaptchaOptions.of_level, {"level": level, **options})
    style = Captchas(given, find_fonts(given.fonts), scenes=scenes, secure=secure)
    return (style.draw(index, mask=masks) for index in range(start, start + count))
