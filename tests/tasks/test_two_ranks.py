"""Two processes that train together through torch's own DDP and gloo, as torchrun starts them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from imgtool.runtime.ranks import ALONE

SCRIPT = Path(__file__).with_name("two_ranks.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def script():
    spec = importlib.util.spec_from_file_location("two_ranks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("norm", "critic_norm"), [("batch", "spectral"), ("layer", "layer"), ("batch", "batch")]
)
def test_both_end_with_the_same_weights(tmp_path, norm, critic_norm):
    command = [*TORCHRUN, f"--log-dir={tmp_path}", str(SCRIPT), str(tmp_path), norm, critic_norm]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for network in one["state"]:
        for name, tensor in one["state"][network].items():  # statistics of batches too
            assert torch.equal(tensor, other["state"][network][name]), f"{network} {name}"
    assert all(
        torch.equal(value, theirs[name])
        for ours, theirs in zip(one["told"], other["told"], strict=True)
        for name, value in ours.items()
        if "slope" not in name
    )
    if critic_norm == "layer":  # then a batch in two parts is the same as one on two ranks
        alone = script().trainee_with(ALONE, norm=norm, critic_norm=critic_norm)
        alone.parts = 2
        for number in range(script().STEPS):
            alone.step(number, 0.0)
        for name, tensor in alone.generator.state_dict().items():
            torch.testing.assert_close(tensor, one["state"]["generator"][name], rtol=1e-3, atol=1e-4)
