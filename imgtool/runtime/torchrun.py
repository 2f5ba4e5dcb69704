"""What torchrun tells the processes that it starts; no torch here, so that it can be asked before torch is loaded."""

import os
import sys
from typing import NoReturn


def count() -> int:
    """How many processes torchrun started, this one among them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Which of the processes on this machine this is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def started() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def local_count() -> int:
    """How many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def start(processes: int) -> NoReturn:
    """Run this very command in so many processes, instead of this one."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "imgtool"]
    os.execv(sys.executable, [sys.executable, *launch, *sys.argv[1:]])
