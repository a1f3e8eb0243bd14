"""Mutual TLS 1.3 for the bare Python programs: both contexts, and a connection whose ciphertext we carry ourselves."""

from __future__ import annotations

import socket
import ssl

__all__ = ["Carried", "client_context", "server_context"]

PIECE = 256 * 1024
BURST = 112 * 1024
"""What fits in two segments of the loopback interface, and stays in the processor's cache."""


def server_context(ca: str, cert: str, key: str) -> ssl.SSLContext:
    """Return a context that asks every client for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca)
    context.load_cert_chain(cert, key)
    return context


def client_context(ca: str, cert: str, key: str) -> ssl.SSLContext:
    """Return a context that trusts this run's authority only, and has a certificate."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    return context


class Carried:
    """TLS in memory over a blocking socket: many records are one `send`, where `SSLSocket` makes one call of each."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """Shake hands: as the client of *server_hostname*, or as the server if there is none."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._scratch = memoryview(bytearray(PIECE))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        while not self._has_shaken_hands():
            self._receive()

    def send(self, data: bytes | memoryview) -> None:
        """Encrypt and send all of *data*, a burst at a time."""
        view = memoryview(data)
        for start in range(0, len(view), BURST):
            self._tls.write(view[start : start + BURST])
            self._sock.sendall(self._outgoing.read())

    def receive_into(self, place: memoryview) -> int:
        """Fill the beginning of *place* with what is decrypted and return its length; 0 at the end."""
        while True:
            try:
                return self._tls.read(len(place), place)  # type: ignore[return-value]  # with a buffer, an int
            except ssl.SSLWantReadError:
                if not self._receive():
                    return 0

    def _receive(self) -> int:
        count = self._sock.recv_into(self._scratch)
        self._incoming.write(self._scratch[:count])
        return count

    def _has_shaken_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._sock.sendall(self._outgoing.read())
        return True
