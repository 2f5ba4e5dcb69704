"""`imgtool.read_captcha`: the text of a captcha, from Python."""

import os
from typing import Any

from imgtool.api.inputs import PictureLike, loaded, options_of, picture_of
from imgtool.errors import BadImage
from imgtool.options.captcha_reader import READER_WEIGHTS, CaptchaReadOptions
from imgtool.tasks.load import load_reader
from imgtool.tasks.read_captcha import Reading
from imgtool.tasks.read_captcha import read_captcha as read


def read_captcha(
    image: PictureLike,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: str | os.PathLike[str] = READER_WEIGHTS[0],
    **options: Any,
) -> Reading:
    """Read a captcha, as `imgtool captcha-read` does.

    Args:
        image: of one line of text.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        weights: a name, a file or the folder of a training run.
        **options: fields of `CaptchaReadOptions`.
    Returns:
        Its text and confidence.
    Raises:
        BadImage, OptionError, WeightsError, DeviceError: see `imgtool.errors`.
    Example:
        >>> read_captcha("captcha.png").text  # doctest: +SKIP
        'HDSQI'
    """
    given = options_of("read_captcha", CaptchaReadOptions, options)
    picture = picture_of(image, "image")
    reader = loaded(load_reader, weights, device=device, precision=precision)
    try:
        return read(picture, reader, given)
    except ValueError as error:
        raise BadImage("image", str(error)) from error
