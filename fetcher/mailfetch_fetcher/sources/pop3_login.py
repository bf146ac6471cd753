"""Logging in to POP3 with a password: AUTH PLAIN where it is offered, else USER and PASS.

AUTH PLAIN (RFC 4616, 5034) carries any UTF-8. It goes in two lines: not every server takes an initial response, and it
would be too long for many passwords. Other ways to log in are other functions of the type `LogIn`.
"""

import base64
from collections.abc import Callable

from mailfetch_fetcher.sources import pop3_errors as errors
from mailfetch_fetcher.sources.pop3_capabilities import Capabilities
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.sources.pop3_wire import Pop3Wire

LogIn = Callable[[Pop3Settings, Pop3Wire, Capabilities], None]
"""Logs in on a connection that may carry credentials; raises `SourceError`."""


def with_password(settings: Pop3Settings, wire: Pop3Wire, capabilities: Capabilities) -> None:
    """Logs in.

    Raises:
        SourceError: the server refuses, takes no password, or the password cannot be read or sent.
    """
    password = settings.password()
    if "\0" in settings.username + password:
        raise errors.bad_credentials("NUL character")
    try:
        if "PLAIN" in capabilities.mechanisms:
            _plain(wire, f"\0{settings.username}\0{password}".encode())
        elif "USER" not in capabilities and ("SASL" in capabilities or "STLS" in capabilities):
            raise errors.no_password_login(settings, sorted(capabilities.mechanisms))
        else:
            _user(wire, settings.username, password)
    except Refused as e:
        raise errors.login_refused(
            settings, e, password=password, login_delay=capabilities.login_delay
        ) from None  # no chain: nothing may lead to the password


def _plain(wire: Pop3Wire, secret: bytes) -> None:
    wire.command(b"AUTH PLAIN")
    if wire.challenge() is None:
        raise wire.broken(errors.nonsense(wire.address, b"a login without a password"))
    wire.run(base64.b64encode(secret))


def _user(wire: Pop3Wire, username: str, password: str) -> None:
    if any(c in username + password for c in "\r\n"):
        raise errors.bad_credentials("line break")
    wire.run(b"USER " + username.encode())
    wire.run(b"PASS " + password.encode())
