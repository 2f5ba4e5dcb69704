"""Image generation and enhancement: five classic systems behind one command line and one Python API."""

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgtool.api.captcha import captchas
    from imgtool.api.edges import edges
    from imgtool.api.read_captcha import read_captcha
    from imgtool.api.segment import segment
    from imgtool.api.stylize import stylize

__version__ = "0.1.0"
__all__ = ["__version__", "captchas", "edges", "read_captcha", "segment", "stylize"]

STARTED = time.monotonic() - time.process_time()  # What `--time` counts from: Python itself took a while

# Public functions and where they live; loaded on first use, so that `import imgtool` costs nothing.
_PUBLIC = {
    "captchas": "imgtool.api.captcha",
    "edges": "imgtool.api.edges",
    "read_captcha": "imgtool.api.read_captcha",
    "segment": "imgtool.api.segment",
    "stylize": "imgtool.api.stylize",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
