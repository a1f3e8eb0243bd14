import pytest
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as Method

from gproc.transport.requests import Refusal, Request, read_request


async def nothing(stream: object) -> None:
    """Answer nothing."""


METHODS = {"/test.Service/Echo": Method(nothing, Cardinality.UNARY_UNARY, bytes, bytes)}
HEADERS = {
    ":method": "POST",
    ":path": "/test.Service/Echo",
    "te": "trailers",
    "content-type": "application/grpc",
}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2H", 7200.0), ("2M", 120.0), ("2S", 2.0), ("2m", 2e-3), ("2u", 2e-6), ("2n", 2e-9), ("99999999S", 99_999_999.0)],
)
def test_a_timeout_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    request = read_request([*HEADERS.items(), ("grpc-timeout", text)], METHODS, "proto")
    assert isinstance(request, Request)
    assert request.timeout == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
def test_a_request_may_name_the_encoding_and_need_not_have_a_timeout(content_type: str) -> None:
    request = read_request(list((HEADERS | {"content-type": content_type}).items()), METHODS, "proto")
    assert isinstance(request, Request)
    assert (request.timeout, request.content_type) == (None, content_type)


@pytest.mark.parametrize(
    ("wrong", "status", "http_status"),
    [
        ({":method": "GET"}, Status.INTERNAL, "405"),
        ({"content-type": "application/grpc+json"}, Status.INTERNAL, "415"),
        ({"content-type": "application/json"}, Status.INTERNAL, "415"),
        ({"te": "gzip"}, Status.INTERNAL, "400"),
        ({":path": "/test.Service/None"}, Status.UNIMPLEMENTED, "200"),
        ({"grpc-timeout": "123456789S"}, Status.INVALID_ARGUMENT, "200"),
    ],
)
def test_a_request_that_is_none_is_answered_for_http_as_well(
    wrong: dict[str, str], status: Status, http_status: str
) -> None:
    refusal = read_request(list((HEADERS | wrong).items()), METHODS, "proto")
    assert isinstance(refusal, Refusal)
    answer = dict(refusal.headers())
    assert (answer["grpc-status"], answer[":status"]) == (str(status.value), http_status)
