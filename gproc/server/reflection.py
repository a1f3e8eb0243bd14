"""``grpc.reflection``, v1 and v1alpha: so that grpcurl can talk to the server without any file."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from grpclib.const import Handler, Status
from grpclib.server import Stream

from gproc.wire.methods import SERVICE
from gproc.wire.standard import (
    HEALTH_METHODS,
    REFLECTION_METHODS,
    descriptor_files,
    descriptor_symbols,
    question_of,
    reflection,
)

__all__ = ["ReflectionService", "answer"]

SERVICES = (SERVICE, *sorted({method.service for method in (*HEALTH_METHODS.values(), *REFLECTION_METHODS.values())}))


class ReflectionService:
    """Describes the services of this server from the descriptions that are shipped with it."""

    def __mapping__(self) -> dict[str, Handler]:
        """Return the rpcs by path, as grpclib wants them."""
        return {method.path: method.handler(_handle(version)) for version, method in REFLECTION_METHODS.items()}


def _handle(version: Any) -> Any:
    async def handle(stream: Stream[Any, Any]) -> None:
        async for request in stream:
            await stream.send_message(answer(request, version, SERVICES))

    return handle


def answer(request: Any, version: Any = reflection, services: Collection[str] = SERVICES) -> Any:
    """Return the answer to one question, in messages of *version*."""
    reply = version.ServerReflectionResponse(valid_host=request.host, original_request=request)
    match question_of(request):
        case "file_by_filename", name:
            _describe(reply, version, name)
        case "file_containing_symbol", symbol:
            _describe(reply, version, descriptor_symbols().get(symbol))
        case "list_services", _:
            names = [version.ServiceResponse(name=name) for name in services]
            reply.list_services_response = version.ListServiceResponse(service=names)
        case "all_extension_numbers_of_type", name if name in descriptor_symbols():
            reply.all_extension_numbers_response = version.ExtensionNumberResponse(base_type_name=name)
        case "", _:
            reply.error_response = _error(version, Status.INVALID_ARGUMENT, "the request asks nothing")
        case _:
            reply.error_response = _error(version, Status.NOT_FOUND, "there is no such thing here")
    return reply


def _describe(reply: Any, version: Any, name: str | None) -> None:
    file = None if name is None else descriptor_files().get(name)
    if file is None:
        reply.error_response = _error(version, Status.NOT_FOUND, "there is no such thing here")
    else:
        reply.file_descriptor_response = version.FileDescriptorResponse(file_descriptor_proto=[file])


def _error(version: Any, status: Status, text: str) -> Any:
    return version.ErrorResponse(error_code=status.value, error_message=text)
