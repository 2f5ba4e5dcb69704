import io
import tarfile

import pytest

from imgtool.data.tar import Tar


@pytest.mark.parametrize("sizes", [[], [0], [1, 511, 512, 513], [20 * 512 - 1], [300_000, 3]])
def test_bytes_are_those_of_tarfile(sizes):
    members = {f"{number:06d}.png": bytes([number + 1]) * size for number, size in enumerate(sizes)}
    ours, theirs = io.BytesIO(), io.BytesIO()
    with Tar(ours) as tar:
        for name, data in members.items():
            tar.add(name, data)
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as reference:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            reference.addfile(info, io.BytesIO(data))
    assert ours.getvalue() == theirs.getvalue()


def test_failure_within_writes_no_end():
    file = io.BytesIO()
    with pytest.raises(KeyboardInterrupt), Tar(file) as tar:
        tar.add("a", b"a")
        raise KeyboardInterrupt
    assert len(file.getvalue()) == 1024
