from __future__ import annotations

import subprocess
import sys


def test_what_a_shim_is_forked_from_has_nothing_to_do_after_a_fork() -> None:
    """Each of these modules works in every child, and what it touches is memory that the child no longer shares."""
    program = "import gproc.worker.spawner, sys; print(*{'threading', 'logging', 'random'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""
