from __future__ import annotations

import errno
import os
import socket

import pytest

from gproc.transport.acceptor import _listen_on

NOT_OURS = (socket.AF_INET, ("192.0.2.1", 0))
"""From the block for documentation: no machine has it."""
OURS = (socket.AF_INET, ("127.0.0.1", 0))


def test_an_address_that_this_machine_does_not_have_is_left_out() -> None:
    sockets = _listen_on([NOT_OURS, OURS], 1)
    try:
        assert [listener.getsockname()[0] for listener in sockets] == ["127.0.0.1"]
    finally:
        for listener in sockets:
            listener.close()


def test_at_least_one_address_must_be_there() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        _listen_on([NOT_OURS], 1)


def test_a_port_that_is_taken_is_no_address_to_be_left_out() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(OSError, match="in use"):
        _listen_on([OURS, (socket.AF_INET, taken.getsockname())], 1)
