from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

from gproc.worker.launcher import Launcher


async def test_launches_that_wait_for_a_busy_spawner_all_get_their_turn(tmp_path: Path) -> None:
    launcher = Launcher()
    launcher.open()
    try:
        assert launcher.pid is not None
        assert launcher._requests is not None
        launcher._requests.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # room for a few requests
        os.kill(launcher.pid, signal.SIGSTOP)
        launches = [asyncio.ensure_future(launcher.launch(tmp_path)) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert not all(launch.done() for launch in launches)
        os.kill(launcher.pid, signal.SIGCONT)
        async with asyncio.timeout(10):
            for launch in launches:
                (await launch).close()
    finally:
        await launcher.close()


async def test_a_spawner_that_died_is_replaced(tmp_path: Path) -> None:
    launcher = Launcher()
    launcher.open()
    try:
        before = launcher.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, before, os.WEXITED | os.WNOWAIT)
        async with asyncio.timeout(10):
            (await launcher.launch(tmp_path)).close()
        assert launcher.pid != before
    finally:
        await launcher.close()


async def test_a_launch_that_is_cancelled_leaves_no_descriptor(tmp_path: Path) -> None:
    launcher = Launcher()
    launcher.open()
    try:
        assert launcher.pid is not None
        assert launcher._requests is not None
        launcher._requests.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        os.kill(launcher.pid, signal.SIGSTOP)
        launches = [asyncio.ensure_future(launcher.launch(tmp_path)) for _ in range(20)]
        await asyncio.sleep(0.05)
        waiting = [launch for launch in launches if not launch.done()]
        assert waiting
        for launch in waiting:
            launch.cancel()
        await asyncio.wait(waiting)
        for launch in launches:
            if launch not in waiting:
                launch.result().close()
        os.kill(launcher.pid, signal.SIGCONT)
    finally:
        await launcher.close()
