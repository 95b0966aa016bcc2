"""Peak memory of a process."""

from __future__ import annotations

import subprocess
import sys

from mmtk.io.memory import memory, peak_memory


def test_the_peak_is_of_what_was_resident_and_stays() -> None:
    code = (
        "from mmtk.io.memory import peak_memory\n"
        "before = peak_memory('cpu'); block = bytearray(b'1') * 200_000_000; del block\n"
        "print(peak_memory('cpu') - before)"
    )
    grown = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 0.19 < grown < 0.5


def test_a_kind_that_the_system_does_not_name_is_none() -> None:
    assert memory("NoSuchKind") is None
    assert (peak_memory("cpu") or 0) > 0.01
