"""Whose token it is and what it opens in the Graph double."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.servers.graph_call import Call
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import CHALLENGE, GRAPH_ID, Refused, Wrong, bad_request, denied, insufficient_claims

_READ = frozenset({"Mail.Read", "Mail.ReadWrite", "Mail.Read.Shared", "Mail.ReadWrite.Shared"})
_CHANGES = frozenset({"patch", "delete", "move", "permanent_delete"})


class Bearing(Protocol):
    """What is known of a good access token: tests.servers.authority_model.Claims, or what a test makes of its own.

    `account` is empty for an application. `scopes` are delegated scopes or an application's roles, without the resource
    before them. `challenge` holds the claims (JSON) that its request asked for.
    """

    @property
    def account(self) -> str: ...
    @property
    def audience(self) -> str: ...
    @property
    def scopes(self) -> Collection[str]: ...
    @property
    def challenge(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A token of a test's own; see Bearing."""

    account: str
    scopes: Collection[str]
    audience: str = "https://graph.microsoft.com"
    challenge: str = ""


Check = Callable[[str], Bearing | None]
"""Tells what is known of a token; None: it is no good."""


def bearing(call: Call, check: Check, *, demanded: Mapping[str, object]) -> Bearing:
    """Raises `Refused` (401) unless the request has a good token for this host, asked for with the demanded claims."""
    scheme, _, token = call.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise Wrong(401, "InvalidAuthenticationToken", "Access token is empty.", WWW_Authenticate=CHALLENGE)
    known = check(token)
    if known is None:
        raise _refused("Access token has expired or is not yet valid.")
    if known.audience.rstrip("/") not in (f"https://{call.host}", GRAPH_ID):
        raise _refused("Access token validation failure. Invalid audience.")
    if demanded and not _holds(json.loads(known.challenge or "{}"), demanded):
        raise insufficient_claims(demanded)
    return known


def _refused(text: str) -> Refused:
    return Refused(401, "InvalidAuthenticationToken", text, WWW_Authenticate=CHALLENGE)


def _holds(given: object, demanded: object) -> bool:
    """Whether all that is demanded is in what is given; libraries add wishes of their own."""
    if isinstance(demanded, Mapping) and isinstance(given, Mapping):
        return all(name in given and _holds(given[name], value) for name, value in demanded.items())
    return given == demanded


def allow(call: Call, who: Bearing, mailbox: Mailbox, *, policy: Collection[str] | None) -> None:
    """Raises `Refused` unless the token may do this in this mailbox.

    Args:
        call: The request.
        who: Whose token it is.
        mailbox: The mailbox.
        policy: The mailboxes that an application may open; None: all of them.
    """
    granted = set(who.scopes)
    if call.endpoint == "me":
        if "User.Read" not in granted:
            raise Refused(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        return
    changes = call.endpoint in _CHANGES
    if who.account:
        own = who.account.lower() == mailbox.address.lower()
        usable = granted & _READ if own else {scope for scope in granted & _READ if scope.endswith(".Shared")}
        if not own and not _shared(mailbox, who.account, changes=changes):
            raise denied()
    else:
        usable = granted & {"Mail.Read", "Mail.ReadWrite"}
        if policy is not None and mailbox.address.lower() not in {one.lower() for one in policy}:
            raise denied("Access to OData is disabled.")
    if not any("ReadWrite" in scope or not changes for scope in usable):
        raise denied()


def _shared(mailbox: Mailbox, account: str, *, changes: bool) -> bool:
    writes = mailbox.shared.get(account.lower())
    return writes is not None and (writes or not changes)


def address(call: Call, who: Bearing) -> str:
    """The mailbox of a request."""
    if call.user:
        return call.user
    if not who.account:
        raise bad_request("/me request is only valid with delegated authentication flow.")
    return who.account
