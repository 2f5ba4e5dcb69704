"""Training states on disk: tensors as safetensors, and how they hang together as JSON in the same file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from imgtool.errors import WeightsError
from imgtool.files import atomic_write, printable
from imgtool.runtime.checkpoints import read_safetensors

STATE = "state"  # The one word of metadata: the library's writer has no order for several
TENSOR, ORDER, ITEMS = "$tensor", "$order", "$items"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training, whole or not at all; the same bytes for the same state.

    Args:
        path: of a `.safetensors`.
        state: tensors, numbers and words in dicts and lists. Tuples come back as lists.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_taken_apart(state, "", tensors))
    with atomic_write(path) as file:
        file.write(save(tensors, {STATE: text}))


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU, its tensors in the memory format that they had.

    Raises:
        WeightsError: it cannot be read, is damaged, or is no state of a training.
    """
    try:
        tensors, metadata = read_safetensors(path)
        state = _put_together(json.loads(metadata[STATE]), tensors)
    except OSError as error:
        raise WeightsError(f"{printable(path)} cannot be read: {error.strerror or error}") from error
    except (WeightsError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = "it is damaged, or of another kind"
        raise WeightsError(f"{printable(path)} is no checkpoint of a training: {reason}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{printable(path)} holds a {type(state).__name__}, expected a training's state")
    return state


def _taken_apart(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON, and its tensors beside it, by the names of the places where they stood."""
    if isinstance(value, Tensor):
        if name in tensors:
            raise ValueError(f"two tensors are called {name}")
        order = value.dim_order()
        tensors[name] = value.detach().cpu().permute(order).contiguous().clone()
        return {TENSOR: name} if list(order) == sorted(order) else {TENSOR: name, ORDER: order}
    if isinstance(value, Mapping):
        parts = [
            (key, _taken_apart(each, f"{name}.{key}".strip("."), tensors)) for key, each in value.items()
        ]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
        return dict(parts) if plain else {ITEMS: parts}  # JSON knows words as keys only
    if isinstance(value, list | tuple):
        return [_taken_apart(each, f"{name}.{index}", tensors) for index, each in enumerate(value)]
    return value


def _put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The reverse."""
    if isinstance(value, list):
        return [_put_together(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        tensor, order = tensors[value[TENSOR]], value.get(ORDER)
        return tensor if order is None else tensor.permute(sorted(range(len(order)), key=order.__getitem__))
    parts = value.get(ITEMS, list(value.items()))
    return {key: _put_together(each, tensors) for key, each in parts}
