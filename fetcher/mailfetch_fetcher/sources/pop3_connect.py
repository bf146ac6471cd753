"""From a host name to a logged-in POP3 connection, in named stages: dns, tcp, tls, capability, login.

No password is ever sent unless the connection is encrypted or the spec allows it to travel in the clear; no token
is ever sent in the clear.
"""

import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import pop3_errors as errors
from mailfetch_fetcher.sources import token_errors, transport_errors
from mailfetch_fetcher.sources.pop3_capabilities import Capabilities, ask_capabilities
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_login import log_in
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.sources.pop3_wire import Pop3Wire
from mailfetch_fetcher.sources.transport import Observe, Reach, reach_server, version


@dataclass(kw_only=True)
class Login:
    """A logged-in connection."""

    wire: Pop3Wire
    capabilities: Capabilities
    insecure: bool


def connect(
    settings: Pop3Settings,
    *,
    context: ssl.SSLContext | None,
    observe: Observe,
    reach: Reach,
    alive: Callable[[], None],
) -> Login:
    """Goes through all stages.

    Args:
        settings: Where and how.
        context: For TLS.
        observe: Is told each stage that has succeeded.
        reach: Is given what ends the connection.
        alive: See `Pop3Wire`.

    Raises:
        SourceError: a stage failed; the message says what to change.
    """
    if settings.encryption == "None" and settings.token:
        raise token_errors.insecure()
    if settings.encryption == "None" and not settings.allow_insecure_login:
        raise transport_errors.insecure()
    sock = reach_server(settings, context=context, observe=observe, reach=reach)
    wire = Pop3Wire(sock, address=settings.address, timeout=settings.timeout, alive=alive)
    try:
        reach(wire.shut)
        return _log_in(settings, wire, context, observe)
    except BaseException:
        wire.close()
        raise


def _log_in(settings: Pop3Settings, wire: Pop3Wire, context: ssl.SSLContext | None, observe: Observe) -> Login:
    _greeting(settings, wire)
    capabilities = ask_capabilities(wire)
    if settings.encryption == "StartTLS":
        assert context is not None
        if not capabilities.may("STLS"):
            raise transport_errors.no_start_tls(settings, "does not offer STLS")
        _start_tls(settings, wire, context, observe)
        capabilities = ask_capabilities(wire)  # what was said in the clear counts for nothing
    observe("capability", _shown(capabilities))
    if "UTF8" in capabilities:  # RFC 6856: before the login, after TLS; without it mails may be held back or rewritten
        with contextlib.suppress(Refused):
            wire.run(b"UTF8")
    log_in(settings, wire, capabilities)
    after = ask_capabilities(wire)
    insecure = settings.encryption == "None"
    observe("login", f"logged in as {settings.login_name}" + (" without encryption" if insecure else ""))
    return Login(wire=wire, capabilities=after if after.told else capabilities, insecure=insecure)


def _greeting(settings: Pop3Settings, wire: Pop3Wire) -> None:
    try:
        line = wire.line()
    except SourceError as e:
        raise (transport_errors.no_greeting(settings) if isinstance(e.__cause__, TimeoutError) else e) from e
    word, _, text = line.partition(b" ")
    if word.upper() == b"-ERR":
        raise errors.refused(settings.address, "talk to us", Refused(text))
    if word.upper() != b"+OK":
        raise errors.not_pop3(settings, line)


def _start_tls(settings: Pop3Settings, wire: Pop3Wire, context: ssl.SSLContext, observe: Observe) -> None:
    try:
        wire.run(b"STLS")
    except Refused as e:
        raise transport_errors.no_start_tls(settings, f"refused STLS ({e.text})") from e
    try:
        wire.encrypt(context, settings.host)
    except OSError as e:
        raise transport_errors.tls_failed(settings, e) from e
    observe("tls", "STLS, " + version(wire.socket))


def _shown(capabilities: Capabilities) -> str:
    if not capabilities.told:
        return "not told (the server does not know CAPA)"
    return ", ".join(" ".join((name, *words)) for name, words in sorted(capabilities.words.items()))
