"""Image generation and enhancement: five classic systems behind one command line and one Python API."""

import importlib
import time
from typing import Any

__version__ = "0.1.0"

STARTED = time.monotonic()  # What `--time` counts from

# Public functions and where they live; loaded on first use, so that `import imgtool` costs nothing.
_PUBLIC = {"stylize": "imgtool.api"}
__all__ = ["__version__", "stylize"]  # noqa: F822, loaded by __getattr__


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
