"""What `imgtool captcha-read` does for each picture: open it, read it, tell."""

import time
from typing import Any

from imgtool.cli.batch import Job
from imgtool.cli.console import console
from imgtool.cli.session import Session
from imgtool.errors import BadImage
from imgtool.files import printable
from imgtool.options.captcha_reader import CaptchaReadOptions
from imgtool.tasks.load import load_reader
from imgtool.tasks.read_captcha import read_captcha


class ReadWork:
    """The reader, loaded once; called with a job, it reads one picture.

    Args:
        options: of the task.
        values: the command's other values by parameter name.
    Raises:
        WeightsError, DeviceError: nothing can be read.
    """

    def __init__(self, options: CaptchaReadOptions, values: dict[str, Any]) -> None:
        self.options = options
        self.session = Session("captcha-read", {**values, "force": False, "skip_existing": False})
        self.reader = load_reader(self.session.find_weights(values["weights"]), self.session.device)

    def __call__(self, job: Job) -> dict[str, Any]:
        """Read one picture; the fields of its `--json` line."""
        began = time.monotonic()
        picture, _ = self.session.read(job.source, "pictures")
        try:
            found = read_captcha(picture, self.reader, self.options)
        except ValueError as error:
            raise BadImage(job.source, str(error)) from error
        if not console.json:
            console.data(f"{printable(found.text)}\t{found.confidence:.3f}\t{printable(job.source.path)}")
        return {
            "output": None,
            "text": found.text,
            "confidence": round(found.confidence, 6),
            "width": picture.width,
            "height": picture.height,
            "seconds": round(time.monotonic() - began, 4),
            **self.session.about(),
        }
