"""What is said in a SASL exchange, whatever the protocol around it (pure): passwords and access tokens.

PLAIN is RFC 4616, OAUTHBEARER RFC 7628, XOAUTH2 the older form of it that Google and Microsoft specify.
"""

import base64
import binascii
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from mailfetch_fetcher.auth.bearer import Bearer
from mailfetch_fetcher.contract.texts import without_credentials

Mechanism = Literal["XOAUTH2", "OAUTHBEARER"]
_LONGEST_WORD = 100


@dataclass(frozen=True, kw_only=True)
class TokenLogin:
    """How to log in with an access token.

    Attributes:
        bearer: Gives the token, at each login.
        provider: Whose it is; decides what an administrator is told to change.
        flow: As in the spec.
    """

    bearer: Bearer = field(repr=False)
    provider: Literal["Google", "Microsoft"]
    flow: Literal["Delegated", "Application"]


def plain(username: str, password: str, *, mailbox: str = "") -> bytes:
    """The message of PLAIN, base64; `mailbox` is whose mail is wanted if it is not the user's own."""
    return base64.b64encode(f"{mailbox}\0{username}\0{password}".encode())


def choose(offered: Collection[str]) -> Mechanism | None:
    """The mechanism for a token: XOAUTH2, as it is what Google and Microsoft document; None if there is none."""
    return "XOAUTH2" if "XOAUTH2" in offered else "OAUTHBEARER" if "OAUTHBEARER" in offered else None


def with_token(mechanism: Mechanism, *, mailbox: str, token: str, host: str, port: int) -> bytes:
    """The message that shows a token, base64.

    Args:
        mechanism: From `choose`.
        mailbox: Whose mail is wanted: for a shared mailbox its address, with the token of who may read it.
        token: Access token.
        host: Of the server.
        port: Of the server.
    """
    if mechanism == "XOAUTH2":
        text = f"user={mailbox}\x01auth=Bearer {token}\x01\x01"
    else:
        name = mailbox.replace("=", "=3D").replace(",", "=2C")  # saslname, RFC 5801 section 4
        text = f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
    return base64.b64encode(text.encode())


def after_challenge(mechanism: Mechanism) -> bytes:
    """The answer to a challenge that says why the token is refused; only then comes the refusal itself."""
    return b"" if mechanism == "XOAUTH2" else b"AQ=="  # RFC 7628 section 3.2.3: a single separator


def why_refused(challenge: bytes) -> str:
    """What a challenge says, for people: status and wanted scope, bounded; empty if it cannot be read."""
    try:
        said = json.loads(base64.b64decode(challenge, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    words = [
        f"{name} {without_credentials(str(said[name]))[:_LONGEST_WORD]}"
        for name in ("status", "scope")
        if said.get(name)
    ]
    return "".join(c if c.isprintable() else " " for c in ", ".join(words))
