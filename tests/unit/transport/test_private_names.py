"""We subclass what grpclib and h2 keep private. When one of these names goes, an upgrade would fail in the dark."""

import asyncio
import inspect
from importlib.metadata import version

import grpclib.client
import grpclib.config
import grpclib.events
import grpclib.metadata
import grpclib.protocol
import grpclib.server
import grpclib.utils
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.stream import H2Stream

from gproc.transport.requests import Headers


def test_grpclib_is_the_version_that_was_read() -> None:
    assert version("grpclib") == "0.4.9"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (grpclib.client, "Channel Handler"),
        (grpclib.events, "_DispatchServerEvents"),
        (grpclib.metadata, "Deadline _Metadata decode_metadata encode_grpc_message"),
        (grpclib.protocol, "AbstractHandler Buffer Connection EventsProcessor H2Protocol Stream"),
        (grpclib.server, "Handler Server Stream"),
        (grpclib.utils, "DeadlineWrapper Wrapper"),
        (grpclib.client.Channel, "_connected _create_connection _protocol_factory close __aenter__ __aexit__"),
        (grpclib.client.Stream, "_recv_initial_metadata_done recv_initial_metadata"),
        (grpclib.server.Server, "_protocol_factory start close wait_closed __aexit__"),
        (grpclib.server.Handler, "accept cancel close check_closed wait_closed"),
        (
            grpclib.server.Stream,
            "_send_initial_metadata_done _send_message_done send_initial_metadata recv_message",
        ),
        (
            grpclib.protocol.Connection,
            "ack flush close pause_writing resume_writing create_stream is_closing get_peer",
        ),
        (
            grpclib.protocol.EventsProcessor,
            "process register close process_request_received process_data_received",
        ),
        (
            grpclib.protocol.EventsProcessor,
            "process_stream_reset process_ping_ack_received",
        ),
        (
            grpclib.protocol.Stream,
            "init_stream send_request send_headers send_data reset_nowait closable __terminated__ __ended__",
        ),
        (grpclib.protocol.Buffer, "add eof read unacked_size"),
        (grpclib.utils.Wrapper, "cancel cancelled"),
        (grpclib.utils.DeadlineWrapper, "start"),
    ],
)
def test_grpclib_has_the_names_that_we_touch(module: object, names: str) -> None:
    assert [name for name in names.split() if not hasattr(module, name)] == []


async def test_objects_of_grpclib_have_the_attributes_that_we_touch() -> None:
    server = grpclib.server.Server([])
    assert {"_mapping", "_codec", "_status_details_codec", "_h2_config", "_config"} <= set(vars(server))
    channel = grpclib.client.Channel()
    assert {"_host", "_port", "_ssl", "_loop", "_config", "_h2_config"} <= set(vars(channel))
    assert channel._protocol is None
    channel.close()
    handler = grpclib.server.Handler({}, server._codec, None, server.__dispatch__)
    assert {"_tasks", "mapping", "codec", "status_details_codec", "dispatch", "loop"} <= set(vars(handler))


def test_objects_of_h2_have_the_attributes_that_we_touch() -> None:
    h2 = H2Connection(H2Configuration(client_side=True))
    assert {"state_machine", "streams", "local_settings", "max_inbound_frame_size"} <= set(vars(h2))
    assert {"outbound_flow_control_window", "max_outbound_frame_size"} <= set(vars(h2))
    assert callable(h2._prepare_for_sending)
    window = h2._inbound_flow_control_window_manager
    assert {"current_window_size", "max_window_size"} <= set(vars(window))
    assert callable(window.process_bytes)
    assert callable(window.window_consumed)
    stream = H2Stream(1, h2.config, 65_535, 65_535)
    assert {"_inbound_window_manager", "_expected_content_length", "_actual_content_length"} <= set(vars(stream))
    assert {"state", "headers_received", "trailers_received"} <= set(vars(stream.state_machine))


def test_the_call_of_a_handler_has_the_arguments_that_we_give() -> None:
    arguments = inspect.signature(grpclib.server.Stream.__init__).parameters
    assert {"codec", "status_details_codec", "dispatch", "deadline", "user_agent"} <= set(arguments)
    assert {"_keepalive_time"} <= set(inspect.signature(grpclib.config.Configuration).parameters)
    assert Headers == list[tuple[str, str]]
    assert issubclass(grpclib.protocol.H2Protocol, asyncio.Protocol)


def test_what_h2_remembers_of_streams_that_are_over_is_bounded_by_a_name_that_it_heeds() -> None:
    class Forgetful(H2Connection):
        MAX_CLOSED_STREAMS = 7

    assert H2Connection.MAX_CLOSED_STREAMS > 7
    assert Forgetful()._closed_streams._size_limit == 7  # type: ignore[attr-defined]
