import subprocess
import sys

from gproc.worker.tree import children, descendants

MANY = 1200
"""More than the kernel shows in one page of ``/proc/PID/task/TID/children``."""

_PARENT = f"""
import os, signal
for _ in range({MANY}):
    if os.fork() == 0:
        signal.pause()
print("ready", flush=True)
try:
    input()
finally:
    os.killpg(0, signal.SIGKILL)
"""


def test_b5_a_process_with_very_many_children_has_none_that_is_not_seen() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert len(set(children(parent.pid))) == MANY
        assert len(descendants(parent.pid)) == MANY
        parent.communicate()
