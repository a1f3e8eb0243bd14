"""Who comes in: the owner of each connection, read once from its certificate, and those who must leave again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

from cryptography import x509
from grpclib.const import Status

from gproc.errors import GprocError
from gproc.server.identity import identify, read_certificate
from gproc.transport import Refusal, ServerConnection

__all__ = ["Door"]


class Door:
    """Knows the certificate behind every open connection."""

    def __init__(self) -> None:
        self._certificates: WeakKeyDictionary[ServerConnection, x509.Certificate] = WeakKeyDictionary()

    def admit(self, connection: ServerConnection) -> Refusal | None:
        """Give *connection* its owner; return what all its requests are answered if its certificate names nobody."""
        try:
            certificate = read_certificate(connection.certificate)
            connection.owner = identify(certificate)
        except GprocError as error:
            return Refusal(Status[error.grpc_status], str(error))
        self._certificates[connection] = certificate
        return None

    def cut(self, connections: Iterable[ServerConnection], reason_for: Callable[[x509.Certificate], str | None]) -> int:
        """Cut each of *connections* whose certificate has a reason against it; return how many."""
        count = 0
        for connection in connections:
            certificate = self._certificates.get(connection)
            reason = None if certificate is None else reason_for(certificate)
            if reason is not None:
                connection.abort(f"its certificate is {reason}")
                count += 1
        return count
