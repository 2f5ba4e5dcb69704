"""Which device, which precision, how much memory: with accelerators that are only pretended."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from imgtool.errors import DeviceError, OptionError
from imgtool.runtime import device as module
from imgtool.runtime.device import (
    available_devices,
    describe,
    is_out_of_memory,
    memory_available,
    require_memory,
    seed_everything,
    select_device,
    step_down,
)

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with so many CUDA devices, with or without MPS, with or without bf16."""

    def make(*, cuda=0, mps=False, bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bf16, raising=False)

    return make


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda:0"), (2, True, "cuda:0")],
)
def test_auto_takes_the_fastest_and_says_why(machine, cuda, mps, expected):
    machine(cuda=cuda, mps=mps)
    chosen = select_device()
    assert str(chosen.torch) == expected
    assert chosen.why.startswith(f"{expected} is the first of {', '.join(available_devices())}")


@pytest.mark.parametrize(("precision", "found"), [("auto", "fp32"), ("bf16", "bf16")])
def test_a_reference_is_fp32_unless_another_precision_is_asked_for(machine, precision, found):
    machine(bf16=True)
    chosen = select_device("auto", precision, exact=True)
    assert chosen.precision == found
    assert precision != "auto" or "fp32, for this is a reference" in chosen.why
    assert select_device().precision == "bf16"


def test_all_devices_are_listed(machine):
    machine(cuda=2, mps=True)
    assert list(available_devices()) == ["cuda:0", "cuda:1", "mps", "cpu"]


@pytest.mark.parametrize(
    ("asked", "expected"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("mps", "mps")]
)
def test_a_device_that_was_asked_for(machine, asked, expected):
    machine(cuda=2, mps=True)
    chosen = select_device(asked)
    assert str(chosen.torch) == expected and chosen.why.startswith(f"{asked} was asked for")


@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "mps", "tpu", "", "cuda:", "CPU"])
def test_a_missing_device_is_refused_with_those_there_are(machine, asked):
    machine()
    with pytest.raises(DeviceError, match=r"there is cpu$") as caught:
        select_device(asked)
    assert caught.value.exit_code == 4 and repr(asked) in caught.value.message
    assert caught.value.hint == "--device cpu"


def test_a_missing_index_is_refused(machine):
    machine(cuda=2)
    with pytest.raises(DeviceError, match="no device 'cuda:2' here; there is cuda:0, cuda:1, cpu"):
        select_device("cuda:2")


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_bf16_where_the_hardware_has_it(machine, where):
    machine(cuda=1, bf16=True)
    chosen = select_device(where)
    assert (chosen.dtype, chosen.precision) == (torch.bfloat16, "bf16")
    assert "bf16 is in its hardware" in chosen.why
    machine(cuda=1, bf16=False)
    chosen = select_device(where)
    assert (chosen.dtype, chosen.precision) == (torch.float32, "fp32")
    assert "no fast bf16" in chosen.why


def test_emulated_bf16_does_not_count(machine, monkeypatch):
    machine(cuda=1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert select_device("cuda").precision == "fp32"


def test_mps_stays_in_fp32(machine):
    machine(mps=True, bf16=True)
    assert select_device("mps").precision == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_precision_that_was_asked_for(machine, precision):
    machine(bf16=precision == "fp32")
    chosen = select_device("cpu", precision)
    assert chosen.precision == precision and f"{precision} was asked for" in chosen.why


def test_an_unknown_precision_is_refused():
    with pytest.raises(OptionError, match="choose from auto, fp32, bf16, fp16"):
        select_device("cpu", "int8")


def test_description(monkeypatch):
    card = SimpleNamespace(name="RTX 4090", total_memory=25_300_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    assert describe("cuda:0") == "RTX 4090, 25 GB"
    assert describe("cpu") and describe("mps") == "Apple GPU"


def test_the_real_allocator_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.0 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"), False),
        (ValueError("can't allocate memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_which_errors_mean_that_memory_ran_out(error, expected):
    assert is_out_of_memory(error) is expected


class Allocation:
    """Stands for the tensors of an attempt."""


def fits(limit, seen, error=torch.OutOfMemoryError):
    def run(size):
        tensors = Allocation()
        seen.append((size, weakref.ref(tensors)))
        if size > limit:
            raise error("out of memory")
        return size * 10

    return run


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_step_down_takes_the_first_that_fits(machine, error):
    machine()
    seen, said = [], []
    assert step_down(fits(256, seen, error), (512, 256, 128), say=said.append, hint="--tile 64") == 2560
    assert [size for size, _ in seen] == [512, 256] and said == [256]


def test_step_down_says_nothing_when_it_fits_at_once():
    assert step_down(fits(512, []), (512, 256), say=lambda _: pytest.fail("spoke"), hint="") == 5120


def test_step_down_ends_with_the_option_that_helps(machine):
    machine()
    with pytest.raises(DeviceError, match="out of memory") as caught:
        step_down(fits(1, []), (4, 2), say=lambda _: None, hint="--tile 64")
    assert (caught.value.exit_code, caught.value.hint) == (4, "--tile 64")


def test_step_down_frees_the_failed_attempt_before_the_next(machine, monkeypatch):
    """The traceback of the error holds the frame with all its tensors."""
    machine(cuda=1)
    emptied, alive = [], []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    seen = []
    run = fits(2, seen)

    def watched(size):
        alive.extend(reference() is not None for _, reference in seen)
        return run(size)

    gc.disable()
    try:
        assert step_down(watched, (4, 2), say=lambda _: None, hint="") == 20
    finally:
        gc.enable()
    assert alive == [False] and emptied == [True]


def test_step_down_lets_other_errors_through():
    def broken(_):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        step_down(broken, (4, 2), say=lambda _: pytest.fail("tried again"), hint="")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Writes the files in which a kernel tells about memory."""
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(proc__meminfo="MemTotal: 16000 kB\nMemAvailable:   8000 kB\nHugePages_Total:       0\n")
    return write


def group(kernel, folder, *, limit, used, cached=0):
    kernel(
        **{
            f"sys__fs__cgroup{folder}__memory_dot_max": f"{limit}\n",
            f"sys__fs__cgroup{folder}__memory_dot_current": f"{used}\n",
            f"sys__fs__cgroup{folder}__memory_dot_stat": f"anon 5\ninactive_file {cached}\n",
        }
    )


def test_memory_is_what_the_kernel_can_give(kernel):
    assert memory_available(CPU) == 8000 * 1024


def test_a_group_limits_memory(kernel):
    kernel(proc__self__cgroup="0::/\n")
    group(kernel, "", limit=5_000_000, used=2_000_000)
    assert memory_available(CPU) == 3_000_000


def test_cached_files_in_a_group_can_be_dropped(kernel):
    kernel(proc__self__cgroup="0::/\n")
    group(kernel, "", limit=5_000_000, used=4_900_000, cached=3_000_000)
    assert memory_available(CPU) == 3_100_000


def test_every_group_above_counts(kernel):
    kernel(proc__self__cgroup="0::/user.slice/job\n")
    group(kernel, "__user.slice__job", limit="max", used=1)
    group(kernel, "__user.slice", limit=6_000_000, used=2_000_000)
    assert memory_available(CPU) == 4_000_000


def test_groups_of_version_1(kernel):
    kernel(proc__self__cgroup="5:cpu,cpuacct:/\n4:memory:/docker/0ab\n1:name=systemd:/\n0::/\n")
    for folder, limit in (("__docker__0ab", 3_000_000), ("", 2**63 - 4096)):
        kernel(
            **{
                f"sys__fs__cgroup__memory{folder}__memory_dot_limit_in_bytes": f"{limit}\n",
                f"sys__fs__cgroup__memory{folder}__memory_dot_usage_in_bytes": "1000000\n",
                f"sys__fs__cgroup__memory{folder}__memory_dot_stat": "total_inactive_file 500000\n",
            }
        )
    assert memory_available(CPU) == 2_500_000


def test_a_group_beyond_its_limit_leaves_nothing(kernel):
    kernel(proc__self__cgroup="0::/\n")
    group(kernel, "", limit=1000, used=2000)
    assert memory_available(CPU) == 0


def test_a_system_that_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert memory_available(CPU) is None
    require_memory(CPU, 10**18, hint="")


def test_this_machine_has_memory():
    assert memory_available(CPU) is None or memory_available(CPU) > 10**6


def test_memory_of_accelerators(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (7, 9))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 4)
    assert memory_available(torch.device("cuda:0")) == 7
    assert memory_available(torch.device("mps")) == 6


def test_work_that_cannot_fit_is_refused(kernel):
    require_memory(CPU, 8000 * 1024, hint="")
    with pytest.raises(DeviceError, match=r"needs about 3\.0 GB on cpu, and 0\.0 GB are free") as caught:
        require_memory(CPU, 3_000_000_000, hint="--size 512")
    assert (caught.value.exit_code, caught.value.hint) == (4, "--size 512")


def test_seed():
    before = torch.get_rng_state()
    try:
        seed_everything(3)
        first = torch.rand(4)
        seed_everything(3)
        assert torch.equal(torch.rand(4), first)
        seed_everything(4)
        assert not torch.equal(torch.rand(4), first)
    finally:
        torch.set_rng_state(before)


def test_same_bytes_on_cuda(machine, monkeypatch):
    """Bilinear enlarging and some products are not repeatable there unless torch is told."""
    machine(cuda=1)
    told = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *a, **k: told.append((a, k)))
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    state = torch.get_rng_state()
    seed_everything(0)
    torch.set_rng_state(state)
    assert told == [((True,), {"warn_only": True})]
    assert module.os.environ.pop("CUBLAS_WORKSPACE_CONFIG")
