"""Recipes inside picture files: how a result was made, as JSON beside its pixels.

PNG holds it in an iTXt chunk named `imgtool:recipe`; JPEG, WebP, TIFF and AVIF in their XMP packet; any
other format has it in a file beside it, `<name>.json`. Only JSON is ever read back, and not much of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from xml.sax.saxutils import escape, unescape

from imgtool.errors import RecipeError
from imgtool.files import printable

KEY = "imgtool:recipe"
MAX_RECIPE_BYTES = 1_000_000

NAMESPACE = "https://imgtool.invalid/xmp/1.0/"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f'<rdf:Description rdf:about="" xmlns:imgtool="{NAMESPACE}">'
    "<imgtool:recipe>{}</imgtool:recipe>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


def sidecar_path(path: Path) -> Path:
    """Where the recipe of a picture lies when it is not inside: `out.bmp.json` for `out.bmp`."""
    return path.with_name(path.name + ".json")


def to_json(recipe: Mapping[str, Any]) -> str:
    """A recipe as canonical JSON: sorted keys, no spaces, ASCII, so equal recipes are equal bytes.

    Raises:
        RecipeError: It holds what JSON cannot (NaN, arrays, objects), or is too large.
    """
    try:
        text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(f"the recipe cannot be written as JSON: {error}") from error
    if len(text) > MAX_RECIPE_BYTES:
        raise RecipeError(f"the recipe is {len(text)} bytes, the most is {MAX_RECIPE_BYTES}")
    return text


def from_json(text: str | bytes, name: str) -> dict[str, Any]:
    """The recipe that `to_json` wrote.

    Raises:
        RecipeError: It is too large, no JSON, or no object.
    """
    if len(text) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{name}: its recipe is larger than {MAX_RECIPE_BYTES} bytes")

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        recipe = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = printable(str(error))[:100]
        raise RecipeError(f"{name}: its recipe is damaged ({reason})", hint=_HINT) from error
    if not isinstance(recipe, dict):
        raise RecipeError(f"{name}: its recipe is damaged (not an object)", hint=_HINT)
    return recipe


_HINT = "recipes are in pictures that imgtool wrote and no other program has saved again"


def to_xmp(text: str) -> bytes:
    """An XMP packet that holds the JSON of a recipe."""
    return _PACKET.format(escape(text)).encode("utf-8")


def from_header(start: bytes) -> str | None:
    """The recipe's JSON in the metadata of a style file, whose first bytes are given; None if it has none.

    Raises:
        RecipeError: They are damaged.
    """
    length = int.from_bytes(start[:8], "little")
    try:
        text = json.loads(start[8 : 8 + length])["__metadata__"].get(KEY)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError("a damaged style file") from error
    return text if isinstance(text, str) else None


def from_xmp(packet: bytes) -> str | None:
    """The JSON of a recipe in an XMP packet; found by its element, no XML is interpreted."""
    found = re.search(rb"<imgtool:recipe>([^<]*)</imgtool:recipe>", packet)
    return unescape(found[1].decode("utf-8", "replace")) if found else None
