"""Logging in to POP3: with a password (AUTH PLAIN where it is offered, else USER and PASS), or with an access token.

AUTH (RFC 4616, 5034, 7628) carries any UTF-8. It goes in two lines: not every server takes an initial response
(Microsoft's does not), and it would be too long for many passwords and all tokens.
"""

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import pop3_errors as errors
from mailfetch_fetcher.sources import sasl, token_errors
from mailfetch_fetcher.sources.pop3_capabilities import Capabilities
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.sources.pop3_wire import Pop3Wire
from mailfetch_fetcher.sources.sasl import Mechanism


def log_in(settings: Pop3Settings, wire: Pop3Wire, capabilities: Capabilities) -> None:
    """Logs in, on a connection that may carry credentials, with what the settings hold.

    Raises:
        SourceError: the server refuses, takes nothing that we have, or a credential cannot be read or sent.
    """
    (_with_token if settings.token else _with_password)(settings, wire, capabilities)


# ---- access tokens ----


def _with_token(settings: Pop3Settings, wire: Pop3Wire, capabilities: Capabilities) -> None:
    """Shows a token; if it is refused, another one, as the first may have been revoked since it was fetched."""
    login = settings.token
    assert login
    mechanism = sasl.choose(capabilities.mechanisms)
    if mechanism is None:
        raise token_errors.no_mechanism(settings.address, capabilities.mechanisms)
    text = token = ""
    for _ in range(2):
        token = login.bearer.token(refused=token)
        try:
            return _show(settings, wire, mechanism, token)
        except Refused as e:
            text = e.text
        except SourceError:
            if not text:
                raise
            break  # it hung up after its refusal: the next login shows the other token
        if busy := errors.busy(settings.address, Refused(text.encode()), login_delay=capabilities.login_delay):
            raise busy
    raise token_errors.refused(settings, login, protocol="POP", text=text)


def _show(settings: Pop3Settings, wire: Pop3Wire, mechanism: Mechanism, token: str) -> None:
    message = sasl.with_token(mechanism, mailbox=settings.mailbox, token=token, host=settings.host, port=settings.port)
    _begin(wire, mechanism.encode())
    wire.command(message)
    challenge = wire.challenge()
    if challenge is None:
        return
    try:
        wire.command(sasl.after_challenge(mechanism))
        wire.status()
    except Refused as e:
        why = sasl.why_refused(challenge)
        raise Refused("; ".join(part for part in (e.text, why) if part).encode()) from None
    raise wire.broken(errors.nonsense(wire.address, b"a login after a challenge"))


# ---- passwords ----


def _with_password(settings: Pop3Settings, wire: Pop3Wire, capabilities: Capabilities) -> None:
    password = settings.password()
    if "\0" in settings.username + password + settings.shared_mailbox:
        raise errors.bad_credentials("NUL character")
    try:
        if "PLAIN" in capabilities.mechanisms:
            _begin(wire, b"PLAIN")
            wire.run(sasl.plain(settings.username, password, mailbox=settings.shared_mailbox))
        elif "USER" not in capabilities and ("SASL" in capabilities or "STLS" in capabilities):
            raise errors.no_password_login(settings, sorted(capabilities.mechanisms))
        elif settings.shared_mailbox:
            raise token_errors.no_shared_login(settings.address)
        else:
            _user(wire, settings.username, password)
    except Refused as e:
        raise errors.login_refused(
            settings, e, password=password, login_delay=capabilities.login_delay
        ) from None  # no chain: nothing may lead to the password


def _begin(wire: Pop3Wire, mechanism: bytes) -> None:
    wire.command(b"AUTH " + mechanism)
    if wire.challenge() is None:
        raise wire.broken(errors.nonsense(wire.address, b"a login without credentials"))


def _user(wire: Pop3Wire, username: str, password: str) -> None:
    if any(c in username + password for c in "\r\n"):
        raise errors.bad_credentials("line break")
    wire.run(b"USER " + username.encode())
    wire.run(b"PASS " + password.encode())
