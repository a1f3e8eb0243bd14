from __future__ import annotations

import re
from pathlib import Path

import pytest

from gproc.wire import METHODS, Call, calls
from gproc.wire._generated.gproc.v1 import JobServiceBase

PROTO = Path(__file__).parents[3] / "proto" / "gproc" / "v1" / "jobs.proto"


def test_the_table_says_what_the_generated_service_says() -> None:
    generated = JobServiceBase().__mapping__()
    ours = {method.path: method.handler(generated[method.path].func) for method in METHODS.values()}
    assert ours == generated


def test_our_own_client_calls_what_servers_answer() -> None:
    ours = [call for call in vars(calls).values() if isinstance(call, Call)]
    assert {call.name for call in ours} == METHODS.keys() - {"Attach"}
    for call in ours:
        method = METHODS[call.name]
        assert (call.path, call.cardinality) == (method.path, method.cardinality)


@pytest.mark.skipif(not PROTO.exists(), reason="the proto file is not shipped with the package")
def test_the_table_has_every_rpc_of_the_proto() -> None:
    assert set(METHODS) == set(re.findall(r"^  rpc (\w+)\(", PROTO.read_text(), re.MULTILINE))
