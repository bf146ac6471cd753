"""From a host name to a logged-in IMAP connection, in named stages: dns, tcp, tls, capability, login.

No password is ever sent unless the connection is encrypted or the spec allows it to travel in the clear; no token
is ever sent in the clear.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources import token_errors, transport_errors
from mailfetch_fetcher.sources.imap_login import log_in
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire
from mailfetch_fetcher.sources.transport import Observe, Reach, reach_server, version

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
    if settings.encryption == "None" and settings.token:
        raise token_errors.insecure()
    if settings.encryption == "None" and not settings.allow_insecure_login:
        raise transport_errors.insecure()
    sock = reach_server(settings, context=context, observe=observe, reach=reach)
    wire = None
    try:
        wire = Wire(sock, address=settings.address, timeout=settings.timeout, alive=alive)
        reach(wire.shut)
        return _log_in(settings, wire, context, observe)
    except BaseException:
        if wire:
            wire.close()
        sock.close()
        raise


# ---- stages ----


def _log_in(settings: ImapSettings, wire: Wire, context: ssl.SSLContext | None, observe: Observe) -> Login:
    greeting = _greeting(settings, wire)
    authenticated = greeting.text.upper().startswith(b"* PREAUTH")
    capabilities = told_capabilities([greeting]) or ask_capabilities(wire)
    if settings.encryption == "StartTLS":
        assert context is not None
        if authenticated:
            raise transport_errors.no_start_tls(settings, "is logged in already before TLS (PREAUTH)")
        if "STARTTLS" not in capabilities:
            raise transport_errors.no_start_tls(settings, "does not offer STARTTLS")
        _start_tls(settings, wire, context, observe)
        capabilities = ask_capabilities(wire)  # what was said in the clear counts for nothing
    observe("capability", " ".join(sorted(capabilities)))
    insecure = settings.encryption == "None"
    if authenticated and insecure:
        raise errors.bad_credentials(
            f"{settings.address} logs everybody in without a password (PREAUTH); this is not supported without TLS"
        )
    wire.mailbox = settings.mailbox
    answers = [] if authenticated else log_in(settings, wire, capabilities)
    capabilities = told_capabilities(answers) or ask_capabilities(wire)
    observe("login", f"logged in as {settings.login_name}" + (" without encryption" if insecure else ""))
    return Login(wire=wire, capabilities=capabilities, insecure=insecure and not authenticated)


def _greeting(settings: ImapSettings, wire: Wire) -> Answer:
    try:
        line = wire.line()
    except SourceError as e:
        raise (transport_errors.no_greeting(settings) if isinstance(e.__cause__, TimeoutError) else e) from e
    if not line.upper().startswith((b"* OK", b"* PREAUTH", b"* BYE")):
        raise errors.not_imap(settings, line)
    return wire.untagged(line)


def _start_tls(settings: ImapSettings, wire: Wire, context: ssl.SSLContext, observe: Observe) -> None:
    try:
        wire.run(b"STARTTLS")
    except Refused as e:
        raise transport_errors.no_start_tls(settings, f"refused STARTTLS ({e.text})") from e
    try:
        wire.encrypt(context, settings.host)
    except OSError as e:
        raise transport_errors.tls_failed(settings, e) from e
    observe("tls", "STARTTLS, " + version(wire.socket))


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
