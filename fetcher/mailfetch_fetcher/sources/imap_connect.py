"""From a host name to a logged-in IMAP connection, in named stages: dns, tcp, tls, capability, login.

No password is ever sent unless the connection is encrypted or the spec allows it to travel in the clear.
"""

import base64
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources import imap_tls_errors as tls_errors
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire

Observe = Callable[[StepName, str], None]
"""Called when a stage has succeeded, with what was found."""

Reach = Callable[[Callable[[], None]], None]
"""Is given what ends the connection as it is now, for another thread that cannot wait."""

_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3))
_USER_TIMEOUT = 120_000
"""Milliseconds until unacknowledged data ends a connection (RFC 5482): as long as the keep-alive needs."""
_CAPABILITY = re.compile(rb"(?:^\* |\[)CAPABILITY ([^\]\r\n]*)", re.IGNORECASE)
"""An answer or a response code; not the `OK CAPABILITY completed` of some servers."""


@dataclass(kw_only=True)
class Login:
    """A logged-in connection."""

    wire: Wire
    capabilities: frozenset[str]
    insecure: bool


def connect(
    settings: ImapSettings,
    *,
    context: ssl.SSLContext | None,
    observe: Observe,
    reach: Reach,
    alive: Callable[[], None],
) -> Login:
    """Goes through all stages.

    Raises:
        SourceError: a stage failed; the message says what to change.
    """
    if settings.encryption == "None" and not settings.allow_insecure_login:
        raise errors.insecure(settings)
    if settings.encryption != "None" and context is None:
        raise ValueError("TLS needs a context")
    sock = _tcp(settings, _addresses(settings, observe), observe)
    wire = None
    try:
        if settings.encryption == "TLS":
            assert context is not None
            sock = _tls(settings, sock, context, observe, reach)
        elif settings.encryption == "None":
            observe("tls", "not used (spec.server.encryption None)")
        wire = Wire(sock, address=settings.address, timeout=settings.timeout, alive=alive)
        reach(wire.shut)
        return _log_in(settings, wire, context, observe)
    except BaseException:
        if wire:
            wire.close()
        sock.close()
        raise


# ---- stages ----


def _addresses(settings: ImapSettings, observe: Observe) -> Sequence[tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise errors.unknown_host(settings, e) from e
    observe("dns", ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found)))
    return found


def _tcp(settings: ImapSettings, addresses: Sequence[tuple[Any, ...]], observe: Observe) -> socket.socket:
    """The first address that answers."""
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as e:  # for example no IPv6 in this pod
            failure = e
            continue
        try:
            sock.settimeout(settings.timeout)
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
            observe("tcp", f"connected to {address[0]} port {settings.port}")
            return sock
    raise errors.unreachable(settings, failure) from failure


def _tls(
    settings: ImapSettings, sock: socket.socket, context: ssl.SSLContext, observe: Observe, reach: Reach
) -> ssl.SSLSocket:
    encrypted = context.wrap_socket(sock, server_hostname=settings.host.rstrip("."), do_handshake_on_connect=False)
    reach(lambda: socket.socket.shutdown(encrypted, socket.SHUT_RDWR))
    try:
        encrypted.do_handshake()
    except OSError as e:
        encrypted.close()
        raise tls_errors.tls_failed(settings, e) from e
    observe("tls", _version(encrypted))
    return encrypted


def _log_in(settings: ImapSettings, wire: Wire, context: ssl.SSLContext | None, observe: Observe) -> Login:
    greeting = _greeting(settings, wire)
    authenticated = greeting.text.upper().startswith(b"* PREAUTH")
    capabilities = told_capabilities([greeting]) or ask_capabilities(wire)
    if settings.encryption == "StartTLS":
        assert context is not None
        if authenticated:
            raise tls_errors.no_starttls(settings, "is logged in already before TLS (PREAUTH)")
        if "STARTTLS" not in capabilities:
            raise tls_errors.no_starttls(settings, "does not offer STARTTLS")
        _start_tls(settings, wire, context, observe)
        capabilities = ask_capabilities(wire)  # what was said in the clear counts for nothing
    observe("capability", " ".join(sorted(capabilities)))
    insecure = settings.encryption == "None"
    if authenticated and insecure:
        raise errors.bad_credentials(
            f"{settings.address} logs everybody in without a password (PREAUTH); this is not supported without TLS"
        )
    answers = [] if authenticated else _authenticate(settings, wire, capabilities)
    capabilities = told_capabilities(answers) or ask_capabilities(wire)
    observe("login", f"logged in as {settings.username}" + (" without encryption" if insecure else ""))
    return Login(wire=wire, capabilities=capabilities, insecure=insecure and not authenticated)


def _greeting(settings: ImapSettings, wire: Wire) -> Answer:
    try:
        line = wire.line()
    except SourceError as e:
        raise (errors.no_greeting(settings) if isinstance(e.__cause__, TimeoutError) else e) from e
    if not line.upper().startswith((b"* OK", b"* PREAUTH", b"* BYE")):
        raise errors.not_imap(settings, line)
    return wire.untagged(line)


def _start_tls(settings: ImapSettings, wire: Wire, context: ssl.SSLContext, observe: Observe) -> None:
    try:
        wire.run(b"STARTTLS")
    except Refused as e:
        raise tls_errors.no_starttls(settings, f"refused STARTTLS ({e.text})") from e
    try:
        wire.encrypt(context, settings.host)
    except OSError as e:
        raise tls_errors.tls_failed(settings, e) from e
    observe("tls", "STARTTLS, " + _version(wire.socket))


def _version(sock: socket.socket) -> str:
    if not isinstance(sock, ssl.SSLSocket):
        return ""
    cipher = sock.cipher()
    return f"{sock.version()}, {cipher[0] if cipher else ''}"


# ---- capabilities ----


def told_capabilities(answers: Sequence[Answer]) -> frozenset[str]:
    """Capabilities that came along with other answers (RFC 9051 section 7.1), or none."""
    for answer in reversed(answers):
        if match := _CAPABILITY.search(answer.text):
            return frozenset(match[1].decode("ascii", "replace").upper().split())
    return frozenset()


def ask_capabilities(wire: Wire) -> frozenset[str]:
    """Asks for them."""
    return told_capabilities(wire.run(b"CAPABILITY"))


# ---- login ----


def _authenticate(settings: ImapSettings, wire: Wire, capabilities: frozenset[str]) -> list[Answer]:
    """AUTHENTICATE PLAIN (RFC 4616), the only one that can carry UTF-8; else LOGIN."""
    if "\0" in settings.username + settings.password:
        raise errors.bad_credentials("the user name or the password holds a NUL character; correct the Secret")
    try:
        if "AUTH=PLAIN" in capabilities:
            return _plain(settings, wire, initial="SASL-IR" in capabilities)
        if "LOGINDISABLED" in capabilities:
            mechanisms = sorted(c for c in capabilities if c.startswith("AUTH="))
            raise errors.no_password_login(settings, mechanisms)
        return _login(settings, wire)
    except Refused as e:
        raise errors.login_refused(settings, e.text) from None  # no chain: nothing may lead to the password


def _plain(settings: ImapSettings, wire: Wire, *, initial: bool) -> list[Answer]:
    secret = base64.b64encode(f"\0{settings.username}\0{settings.password}".encode())
    if initial:  # RFC 4959: one round trip less
        return list(wire.answers(wire.start(b"AUTHENTICATE PLAIN " + secret)))
    tag = wire.start(b"AUTHENTICATE PLAIN")
    if answer := _refusal_or_go(wire, tag):
        return answer
    wire.send(secret + b"\r\n")
    return list(wire.answers(tag))


def _login(settings: ImapSettings, wire: Wire) -> list[Answer]:
    """LOGIN with quoted strings; what these cannot carry goes as literals."""
    words = [settings.username.encode(), settings.password.encode()]
    command, tag = b"LOGIN", b""
    for word in words:
        if word.isascii() and not re.search(rb"[\r\n]", word):
            command += b' "' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
            continue
        command += b" {%d}" % len(word)
        if tag:
            wire.send(command + b"\r\n")
        else:
            tag = wire.start(command)
        if answer := _refusal_or_go(wire, tag):
            return answer
        command = word
    if not tag:
        return wire.run(command)
    wire.send(command + b"\r\n")
    return list(wire.answers(tag))


def _refusal_or_go(wire: Wire, tag: bytes) -> list[Answer]:
    """Empty when the server asks for more; a refusal raises, an early OK is returned."""
    while True:
        line = wire.line()
        if line.startswith(b"+"):
            return []
        if line.startswith(tag + b" "):
            return [wire.completed(line[len(tag) + 1 :])]
        if not line.startswith(b"*"):
            raise SourceError("ConnectionFailed", "the server answered the login with nonsense", pace=Pace.SLOW)
        wire.untagged(line)
