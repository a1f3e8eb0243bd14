"""Frames and messages, cut anywhere, come out whole."""

from itertools import pairwise

from grpclib.exceptions import GRPCError
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from gproc.transport.buffers import MessageAssembler
from gproc.transport.fastpath import cut_message
from gproc.transport.frames import FrameSplitter, Kind, Route

CUTS = st.lists(st.floats(0, 1), max_size=30)
FRAMES = st.lists(
    st.one_of(
        st.builds(DataFrame, st.integers(1, 9), data=st.binary(max_size=60)),
        st.builds(HeadersFrame, st.integers(1, 9), data=st.binary(max_size=60)),
        st.builds(PingFrame, st.just(0), opaque_data=st.binary(min_size=8, max_size=8)),
        st.builds(GoAwayFrame, st.just(0), additional_data=st.binary(max_size=20)),
    ),
    max_size=20,
)


def pieces(stream: bytes, cuts: list[float]) -> list[bytes]:
    edges = sorted({0, len(stream), *(int(cut * len(stream)) for cut in cuts)})
    return [stream[start:stop] for start, stop in pairwise(edges)]


class Recorder:
    """Routes DATA of even streams to itself, drops PING, wants GOAWAY whole; writes down all it gets."""

    def __init__(self) -> None:
        self.passed_bytes = b""
        self.bodies: list[bytes] = []
        self.seen_before_data: list[int] = []
        self.goaways: list[bytes] = []

    def begin(self, length: int, kind: int, flags: int, stream_id: int) -> int:
        if kind == Kind.DATA:
            self.seen_before_data.append(len(self.passed_bytes))
            if stream_id % 2 == 0:
                self.bodies.append(b"")
                return Route.DATA
        if kind == Kind.PING:
            return Route.DROP
        return Route.WHOLE if kind == Kind.GOAWAY else Route.PASS

    def passed(self, run: memoryview) -> None:
        self.passed_bytes += bytes(run)

    def data(self, piece: memoryview) -> None:
        self.bodies[-1] += bytes(piece)

    def whole(self, kind: int, body: bytes) -> None:
        self.goaways.append(body)


@given(frames=FRAMES, cuts=CUTS, preface=st.binary(max_size=24))
def test_every_frame_goes_where_it_is_routed_wherever_the_stream_is_cut(
    frames: list[Frame], cuts: list[float], preface: bytes
) -> None:
    recorder = Recorder()
    splitter = FrameSplitter(recorder, preface=len(preface))
    for piece in pieces(preface + b"".join(frame.serialize() for frame in frames), cuts):
        splitter.feed(memoryview(piece))

    passed, seen = preface, []
    for frame in frames:
        if isinstance(frame, DataFrame):
            seen.append(len(passed))
        if isinstance(frame, HeadersFrame) or (isinstance(frame, DataFrame) and frame.stream_id % 2):
            passed += frame.serialize()
    assert recorder.passed_bytes == passed
    assert recorder.seen_before_data == seen
    assert recorder.bodies == [f.data for f in frames if isinstance(f, DataFrame) and f.stream_id % 2 == 0]
    assert recorder.goaways == [frame.serialize()[9:] for frame in frames if isinstance(frame, GoAwayFrame)]


@given(
    prefix=st.binary(max_size=40),
    data=st.binary(max_size=200),
    steps=st.lists(st.integers(1, 70), max_size=20),
    largest=st.integers(1, 50),
)
def test_a_message_cut_into_frames_is_the_message(prefix: bytes, data: bytes, steps: list[int], largest: int) -> None:
    size, at, wire = len(prefix) + len(data), 0, b""
    for step in [*steps, size]:
        room = min(step, size - at)
        buffers = cut_message(prefix, memoryview(data), start=at, room=room, largest=largest, stream_id=5)
        wire += b"".join(buffers)
        at += room

    body = b""
    while wire:
        frame, length = Frame.parse_frame_header(memoryview(wire[:9]))
        frame.parse_body(memoryview(wire[9 : 9 + length]))
        assert isinstance(frame, DataFrame)
        assert (frame.stream_id, frame.flags.isdisjoint({"END_STREAM", "PADDED"})) == (5, True)
        assert 0 < length <= largest
        body += frame.data
        wire = wire[9 + length :]
    assert body == prefix + data


@given(messages=st.lists(st.binary(max_size=60), max_size=10), cuts=CUTS)
def test_messages_are_put_together_wherever_they_are_cut(messages: list[bytes], cuts: list[float]) -> None:
    assembler = MessageAssembler(largest=60)
    wire = b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
    for piece in pieces(wire, cuts):
        buffer = bytearray(piece)
        assembler.feed(memoryview(buffer))
        buffer[:] = bytes(len(buffer))  # what was fed may be overwritten at once
    assert list(assembler.messages) == messages
    assert assembler.is_between_messages


@given(wire=st.binary(max_size=60), cuts=CUTS)
def test_any_bytes_are_put_together_or_refused(wire: bytes, cuts: list[float]) -> None:
    assembler = MessageAssembler(largest=20)
    try:
        for piece in pieces(wire, cuts):
            assembler.feed(memoryview(piece))
    except GRPCError:
        return
    assert all(len(message) <= 20 for message in assembler.messages)
