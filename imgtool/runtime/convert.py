"""Pinned members as safetensors: arrays read by byte offset, so that no pickle and no HDF5 is ever opened."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from imgtool.errors import WeightsError
from imgtool.runtime.entries import StoredTensor, WeightsEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float32]]

STORED = {"<f4": "F32", "<f2": "F16"}  # what safetensors calls numpy's types
ALIGNMENT = 8  # Bytes; the safetensors format asks for tensors that start at a multiple of it.


def tensors_of(member: bytes, layout: Mapping[str, StoredTensor]) -> "Arrays":
    """The float32 tensors of a member, convolutions as (O, I, H, W)."""
    try:
        return {name: _tensor(member, stored) for name, stored in layout.items()}
    except ValueError as error:  # An offset outside the member
        raise WeightsError(f"the layout does not fit its member: {error}") from error


def _tensor(member: bytes, stored: StoredTensor) -> "NDArray[np.float32]":
    import numpy as np

    count = int(np.prod(stored.shape))
    if stored.table is None:
        values = np.frombuffer(member, "<f4", count, stored.at)
    else:
        table = np.frombuffer(member, "<f4", 256, stored.table)
        values = table[np.frombuffer(member, "u1", count, stored.at)]
    values = values.reshape(stored.shape)
    return values.transpose(3, 2, 0, 1) if stored.axes == "HWIO" else values


def metadata_of(entry: WeightsEntry) -> dict[str, str]:
    """What the converted file says about itself.

    Nothing of the registry's prose: the file is pinned, and a better word about a licence must not change it.
    """
    pinned = entry.member or entry.archive
    return {
        "format": "pt",
        "name": entry.name,
        "network": entry.network,
        "preprocessing": entry.preprocessing,
        "source_sha256": pinned.sha256 if pinned else "",
    }


def write_safetensors(
    file: BinaryIO, tensors: "Mapping[str, NDArray[Any]]", metadata: Mapping[str, str]
) -> str:
    """Write arrays of float32 or float16 in name order, and return the SHA-256 of what was written.

    The library's own writer keeps metadata in a hash map, so its bytes differ from run to run; here the same
    tensors always give the same file, which can therefore be pinned.
    """
    import numpy as np

    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in sorted(tensors):
        end = offset + tensors[name].nbytes
        dtype = STORED[tensors[name].dtype.newbyteorder("<").str]
        header[name] = {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    digest = hashlib.sha256()
    parts = (
        np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        for _, array in sorted(tensors.items())
    )
    for part in (len(text).to_bytes(8, "little"), text, *parts):
        digest.update(part)
        file.write(part)
    return digest.hexdigest()
