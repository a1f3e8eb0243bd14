"""`JobOutput` by hand and `JobOutput` by the generated class are one language."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from gproc.transport import MalformedOutput, OutputFields, decode_output, encode_output_head
from gproc.wire._generated.gproc.v1 import Gap, JobOutput, JobStatus, Stream

U64 = st.integers(0, 2**64 - 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECONDS = st.integers(0, 4 * 10**15)


@given(data=st.binary(max_size=500), stream=st.integers(0, 2), offset=U64, time=st.none() | MICROSECONDS)
def test_what_we_encode_the_generated_class_reads(data: bytes, stream: int, offset: int, time: int | None) -> None:
    time_ns = None if time is None else time * 1000
    message = encode_output_head(stream=stream, offset=offset, time_ns=time_ns, data_len=len(data)) + data
    read = JobOutput().parse(message)
    assert (read.data, read.stream, read.offset) == (data, Stream(stream), offset)
    assert read.time == (EPOCH + timedelta(microseconds=time or 0))


@given(
    data=st.binary(max_size=500),
    stream=st.sampled_from(list(Stream)),
    offset=U64,
    time=MICROSECONDS.filter(bool),
    gap=st.none() | st.builds(Gap, offset=U64, bytes=U64),
    end=st.none() | st.builds(JobStatus, id=st.text(), output_bytes=U64),
)
def test_what_the_generated_class_encodes_we_read(
    data: bytes, stream: Stream, offset: int, time: int, gap: Gap | None, end: JobStatus | None
) -> None:
    moment = EPOCH + timedelta(microseconds=time)
    message = JobOutput(data=data, stream=stream, offset=offset, time=moment)
    if gap is not None:
        message.gap = gap
    if end is not None:
        message.end = end
    fields = decode_output(bytes(message))
    assert (bytes(fields.data), fields.stream, fields.offset) == (data, int(stream), offset)
    assert fields.time_ns == time * 1000
    assert (None if fields.gap is None else Gap().parse(fields.gap)) == gap
    assert (None if fields.end is None else JobStatus().parse(fields.end)) == end


@given(data=st.binary(max_size=50), stream=st.integers(0, 9), offset=U64, time_ns=st.integers(-(2**62), 2**62))
def test_what_we_encode_we_read(data: bytes, stream: int, offset: int, time_ns: int) -> None:
    message = encode_output_head(stream=stream, offset=offset, time_ns=time_ns, data_len=len(data)) + data
    assert decode_output(message) == OutputFields(
        data=memoryview(data), stream=stream, offset=offset, time_ns=time_ns, gap=None, end=None
    )


@given(st.binary(max_size=200))
@example(b"\x08")
@example(b"\x0a\xff\xff\xff\xff\x0f")
@example(b"\x10" + b"\xff" * 11)
@example(b"\x79\x00")
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        fields = decode_output(message)
    except MalformedOutput:
        return
    assert len(fields.data) <= len(message)


@given(
    extra=st.sampled_from([b"\x78\x96\x01", b"\x79" + b"12345678", b"\x7a\x03abc", b"\x7d1234"]),
    data=st.binary(min_size=1, max_size=20),
)
def test_unknown_fields_are_skipped(extra: bytes, data: bytes) -> None:
    message = extra + encode_output_head(stream=2, offset=7, time_ns=None, data_len=len(data)) + data + extra
    fields = decode_output(message)
    assert (bytes(fields.data), fields.stream, fields.offset, fields.time_ns) == (data, 2, 7, None)


@given(extra=st.binary(max_size=100), time_ns=st.integers(0, 2**62))
def test_a_time_with_fields_from_the_future_is_read(extra: bytes, time_ns: int) -> None:
    known = encode_output_head(stream=0, offset=0, time_ns=time_ns, data_len=0)[2:]
    moment = b"\x7a" + bytes((len(extra),)) + extra + known
    assert decode_output(b"\x22" + bytes((len(moment),)) + moment).time_ns == time_ns
