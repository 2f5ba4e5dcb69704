"""Accelerators: the only file that names them. Which device, which precision, how much memory, and why."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch

from imgtool.errors import DeviceError, OptionError
from imgtool.runtime import processes

Network = TypeVar("Network", bound=torch.nn.Module)
Size = TypeVar("Size")
Result = TypeVar("Result")
Dtype: TypeAlias = torch.dtype  # inside `Device`, "torch" is a field
Autocast: TypeAlias = torch.autocast
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# What allocators say that have no class of their own for it: Linux, Windows, C++, MPS, cuBLAS.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory", "ALLOC_FAILED")
ROOT = Path("/")  # of the files in which a kernel tells about memory
# Limit, use and the cached files in it that the kernel would drop: control groups of version 2, and of 1.
GROUPS = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@dataclass(frozen=True)
class Device:
    """Where a network runs, in which type, and why it was chosen.

    Attributes:
        torch: the device of every tensor.
        dtype: of the network's weights and features; pictures and sums stay fp32.
        why: the reason for both, in words.
    """

    torch: torch.device
    dtype: Dtype
    why: str

    @property
    def precision(self) -> str:
        """A key of `DTYPES`."""
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def placed(self, network: Network) -> Network:
        """The network itself, moved here with its channels last, in the type that it has."""
        where: Any = {"device": self.torch, "memory_format": torch.channels_last}  # unknown to torch's types
        moved: Network = network.to(**where)
        return moved

    def autocast(self) -> Autocast:
        """A block in which a network with weights in fp32 works in this type."""
        return autocast(self.torch, self.dtype)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """A block in which a network with weights in fp32 works in another type; fp32 stays what it is."""
    return torch.autocast(device.type, dtype, dtype != torch.float32)


def select_device(name: str = "auto", precision: str = "auto", *, exact: bool = False) -> Device:
    """The device that `name` asks for.

    Args:
        name: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto" or a key of `DTYPES`.
        exact: whether "auto" means fp32 wherever it runs, for work that is a reference.
    Raises:
        DeviceError: the device is not there; the message says which are.
        OptionError: no such precision.
    """
    if precision not in ("auto", *DTYPES):
        raise OptionError("precision", f"no {precision!r}; choose from auto, {', '.join(DTYPES)}")
    available = list(available_devices())
    kind = available[0].partition(":")[0] if name == "auto" else name
    alike = [one for one in available if one.partition(":")[0] == kind] or [name]
    chosen = alike[processes.local_rank() % len(alike)]  # a device for each of several processes
    if name == "auto":
        why = f"{chosen} is the first of {', '.join(available)}"
    else:
        why = f"{name} was asked for"
        if chosen not in available:
            raise DeviceError(
                f"no device {name!r} here; there is {', '.join(available)}", hint=f"--device {available[0]}"
            )
    device = torch.device(chosen)
    if precision != "auto":
        return Device(device, DTYPES[precision], f"{why}; {precision} was asked for")
    if exact:
        return Device(device, torch.float32, f"{why}; fp32, for this is a reference")
    if _has_bf16(device):
        return Device(device, torch.bfloat16, f"{why}; bf16 is in its hardware")
    return Device(device, torch.float32, f"{why}; it has no fast bf16")


def available_devices() -> Iterator[str]:
    """The devices of this machine, the fastest first; the CPU is always among them."""
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        yield f"cuda:{index}"
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"


def describe(name: str) -> str:
    """A device in words: its model and its memory."""
    if name.startswith("cuda"):
        properties = torch.cuda.get_device_properties(name)
        return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
    return torch.backends.cpu.get_cpu_capability() if name == "cpu" else "Apple GPU"


def _has_bf16(device: torch.device) -> bool:
    """Whether bf16 products are in the hardware; emulated ones are slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # MPS has bf16 on some systems, but nobody has measured there that the result holds.
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def seed_everything(seed: int) -> None:
    """One seed for every generator, and the same bytes for the same seed on the same machine."""
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if torch.cuda.is_available():
        # Enlarging and some products add up in the order in which threads arrive, unless told not to.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")


def memory_available(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where nobody knows."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return _host_memory_available()


def _host_memory_available() -> int | None:
    """Free memory as the kernel sees it, and no more than the control groups of this process allow."""
    limits = list(_left_in_groups())
    meminfo = ROOT / "proc/meminfo"
    if meminfo.exists():
        limits.append(int(_numbers(meminfo)["MemAvailable:"]) * 1024)
    return min(limits, default=None)


def _left_in_groups() -> Iterator[int]:
    """What is left of each limit, from this process' own group up to the one of the machine or container."""
    membership = ROOT / "proc/self/cgroup"
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in GROUPS:
            continue
        limit, used, cached = GROUPS[controllers]
        mount = ROOT / "sys/fs/cgroup" / controllers
        group = Path(path.lstrip("/"))
        for folder in (mount / group, *(mount / parent for parent in group.parents)):
            if (folder / limit).exists() and (most := (folder / limit).read_text().strip()).isdigit():
                droppable = int(_numbers(folder / "memory.stat").get(cached, 0))
                yield max(0, int(most) - int((folder / used).read_text()) + droppable)


def _numbers(file: Path) -> dict[str, str]:
    """Names and values of a file of lines that begin with both."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}


def require_memory(device: torch.device, needed: int, *, hint: str) -> None:
    """Refuse work that cannot fit, before it starts: a full machine may be killed without a word.

    Raises:
        DeviceError: says how much is needed and how much there is.
    """
    available = memory_available(device)
    if available is not None and needed > available:
        raise DeviceError(
            f"needs about {needed / 1e9:.1f} GB on {device}, and {available / 1e9:.1f} GB are free", hint=hint
        )


def has_memory(device: torch.device, needed: int) -> bool:
    """Whether so many bytes can still be had; true where nobody knows."""
    available = memory_available(device)
    return available is None or needed <= available


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out; not every allocator has a class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    )


@contextmanager
def memory_told(message: str, *, hint: str) -> Iterator[None]:
    """Tell in one line that memory ran out in the block.

    Args:
        message: what happened, and what of the work is left.
        hint: the option that helps.
    Raises:
        DeviceError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(message, hint=hint) from error


def step_down(
    run: Callable[[Size], Result], sizes: Sequence[Size], *, say: Callable[[Size], None], hint: str
) -> Result:
    """What `run` returns for the first of `sizes` that fits in memory.

    Args:
        run: the work, given a size: of a tile, of a batch, or any other choice that takes less memory.
        sizes: from the one wanted to the smallest worth trying.
        say: told the next size before it is tried.
        hint: the option that helps when none fits.
    Raises:
        DeviceError: memory ran out at every size.
    """
    for attempt, size in enumerate(sizes):
        if attempt:
            say(size)
        try:
            return run(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler: there the traceback would keep the tensors of the failed attempt alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    raise DeviceError("out of memory", hint=hint)
