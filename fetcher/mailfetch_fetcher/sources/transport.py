"""From a host name to a connected, encrypted socket, in named stages: dns, tcp, tls. Whatever the protocol above it."""

import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.sources import transport_errors as errors
from mailfetch_fetcher.sources.transport_errors import Server

Observe = Callable[[StepName, str], None]
"""Called when a stage has succeeded, with what was found."""

Reach = Callable[[Callable[[], None]], None]
"""Is given what ends the connection as it is now, for another thread that cannot wait."""

_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
_USER_TIMEOUT = 120_000
"""Milliseconds until unacknowledged data ends a connection (RFC 5482): as long as the keep-alive needs."""


def reach_server(server: Server, *, context: ssl.SSLContext | None, observe: Observe, reach: Reach) -> socket.socket:
    """Connects; with encryption TLS also encrypts.

    Raises:
        SourceError: a stage failed; the message says what to change.
    """
    if server.encryption != "None" and context is None:
        raise ValueError("TLS needs a context")
    sock = _tcp(server, _addresses(server, observe), observe)
    if server.encryption == "TLS":
        assert context is not None
        return _tls(server, sock, context, observe, reach)
    if server.encryption == "None":
        observe("tls", "not used (spec.server.encryption None)")
    return sock


def version(sock: socket.socket) -> str:
    """Version and cipher of TLS; empty without."""
    if not isinstance(sock, ssl.SSLSocket):
        return ""
    cipher = sock.cipher()
    return f"{sock.version()}, {cipher[0] if cipher else ''}"


def _addresses(server: Server, observe: Observe) -> Sequence[tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise errors.unknown_host(server, e) from e
    observe("dns", ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found)))
    return found


def _tcp(server: Server, addresses: Sequence[tuple[Any, ...]], observe: Observe) -> socket.socket:
    """The first address that answers."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as e:  # for example no IPv6 in this pod
            failure = e
            continue
        try:
            sock.settimeout(server.timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEP_ALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)
            sock.connect(address)
        except OSError as e:
            failure = e
            sock.close()
        else:
            observe("tcp", f"connected to {address[0]} port {server.port}")
            return sock
    raise errors.unreachable(server, failure) from failure


def _tls(server: Server, sock: socket.socket, context: ssl.SSLContext, observe: Observe, reach: Reach) -> ssl.SSLSocket:
    try:
        encrypted = context.wrap_socket(sock, server_hostname=server.host.rstrip("."), do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    reach(lambda: socket.socket.shutdown(encrypted, socket.SHUT_RDWR))
    try:
        encrypted.do_handshake()
        observe("tls", version(encrypted))
    except OSError as e:
        encrypted.close()
        raise errors.tls_failed(server, e) from e
    except BaseException:
        encrypted.close()
        raise
    return encrypted
