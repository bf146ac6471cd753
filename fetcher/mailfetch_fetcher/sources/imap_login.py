"""Logging in to IMAP: AUTHENTICATE with a password (PLAIN) or an access token (XOAUTH2, OAUTHBEARER), else LOGIN."""

import re

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources import sasl, token_errors
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire
from mailfetch_fetcher.sources.sasl import Mechanism, TokenLogin

_LONGEST_COMMAND = 8000
"""Bytes: RFC 9051 section 4.3 wants servers to take 8,192 in a command line; tokens can be longer."""


def log_in(settings: ImapSettings, wire: Wire, capabilities: frozenset[str]) -> list[Answer]:
    """Logs in; returns the answers, which may tell the new capabilities.

    Raises:
        SourceError: the server refuses, or takes nothing that we have.
    """
    if settings.token:
        return _with_token(settings, settings.token, wire, capabilities)
    return _with_password(settings, wire, capabilities)


# ---- access tokens ----


def _with_token(settings: ImapSettings, login: TokenLogin, wire: Wire, capabilities: frozenset[str]) -> list[Answer]:
    """Shows a token; if it is refused, another one, as the first may have been revoked since it was fetched."""
    offered = {c.removeprefix("AUTH=") for c in capabilities if c.startswith("AUTH=")}
    mechanism = sasl.choose(offered)
    if mechanism is None:
        raise token_errors.no_mechanism(settings.address, offered)
    initial, text, token = "SASL-IR" in capabilities, "", ""
    for _ in range(2):
        token = login.bearer.token(refused=token)
        try:
            return [_show(settings, wire, mechanism, token, initial=initial)]
        except Refused as e:
            text = e.text
        except SourceError as e:
            if not text or e.reason == "Throttled":
                raise
            break  # it hung up after its refusal: the next login shows the other token
        if throttled := errors.throttled(settings.address, text):
            raise throttled
    raise token_errors.refused(settings, login, protocol="IMAP", text=text)


def _show(settings: ImapSettings, wire: Wire, mechanism: Mechanism, token: str, *, initial: bool) -> Answer:
    message = sasl.with_token(mechanism, mailbox=settings.mailbox, token=token, host=settings.host, port=settings.port)
    tag, said = _authenticate(wire, mechanism.encode(), message, initial=initial)
    if isinstance(said, Answer):
        return said
    try:
        wire.send(sasl.after_challenge(mechanism) + b"\r\n")
        return _last(wire, _next(wire, tag))
    except Refused as e:
        raise Refused(e.status, "; ".join(part for part in (e.text, sasl.why_refused(said)) if part)) from None


# ---- passwords ----


def _with_password(settings: ImapSettings, wire: Wire, capabilities: frozenset[str]) -> list[Answer]:
    """AUTHENTICATE PLAIN (RFC 4616), the only one that can carry UTF-8 and a shared mailbox; else LOGIN."""
    if "\0" in settings.username + settings.password + settings.shared_mailbox:
        raise errors.bad_credentials("the user name or the password holds a NUL character; correct the Secret")
    try:
        if "AUTH=PLAIN" in capabilities:
            message = sasl.plain(settings.username, settings.password, mailbox=settings.shared_mailbox)
            _, said = _authenticate(wire, b"PLAIN", message, initial="SASL-IR" in capabilities)
            return [_last(wire, said)]
        if "LOGINDISABLED" in capabilities:
            mechanisms = sorted(c for c in capabilities if c.startswith("AUTH="))
            raise errors.no_password_login(settings, mechanisms)
        if settings.shared_mailbox:
            raise token_errors.no_shared_login(settings.address)
        return _login(settings, wire)
    except Refused as e:
        raise errors.login_refused(settings, e.text) from None  # no chain: nothing may lead to the password


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
        said = _next(wire, tag)
        if isinstance(said, Answer):
            return [said]
        command = word
    if not tag:
        return wire.run(command)
    wire.send(command + b"\r\n")
    return list(wire.answers(tag))


# ---- turns ----


def _authenticate(wire: Wire, mechanism: bytes, message: bytes, *, initial: bool) -> tuple[bytes, Answer | bytes]:
    """Begins a login whose first message is known; returns the tag, and what the server says then (see `_next`)."""
    command = b"AUTHENTICATE " + mechanism
    if initial and len(message) < _LONGEST_COMMAND:  # RFC 4959: one round trip less
        tag = wire.start(command + b" " + message)
        return tag, _next(wire, tag)
    tag = wire.start(command)
    said = _next(wire, tag)
    if isinstance(said, Answer):
        return tag, said
    wire.send(message + b"\r\n")
    return tag, _next(wire, tag)


def _next(wire: Wire, tag: bytes) -> Answer | bytes:
    """The next turn of the server: that it has accepted, or what stands behind its `+`.

    Raises:
        Refused: the server has refused.
    """
    while True:
        line = wire.line()
        if line.startswith(b"+"):
            return line[1:].strip()
        if line.startswith(tag + b" "):
            return wire.completed(line[len(tag) + 1 :])
        if not line.startswith(b"*"):
            raise SourceError("ConnectionFailed", "the server answered the login with nonsense", pace=Pace.SLOW)
        wire.untagged(line)


def _last(wire: Wire, said: Answer | bytes) -> Answer:
    """The server must have accepted by now."""
    if isinstance(said, bytes):
        raise wire.broken(errors.nonsense(wire.address, b"+ " + said))
    return said
