"""Whose token it is and what it opens in the Graph double."""

from collections.abc import Callable, Collection
from typing import Protocol

from tests.servers.graph_call import Call
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import GRAPH_ID, Refused, Wrong, bad_request, denied

_READ = frozenset({"Mail.Read", "Mail.ReadWrite", "Mail.Read.Shared", "Mail.ReadWrite.Shared"})
_CHANGES = frozenset({"patch", "delete", "move", "permanent_delete"})


class Bearing(Protocol):
    """What is known of a good access token.

    `account` is empty for an application. `scopes` are delegated scopes or an application's roles, with or without the
    resource before them.
    """

    @property
    def account(self) -> str: ...
    @property
    def audience(self) -> str: ...
    @property
    def scopes(self) -> Collection[str]: ...


Check = Callable[[str], Bearing | None]
"""Tells what is known of a token; None: it is no good."""


def bearing(call: Call, check: Check) -> Bearing:
    """Raises `Refused` (401) unless the request has a good token for this host."""
    challenge = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    given = call.headers.get("Authorization", "")
    scheme, _, token = given.partition(" ")
    if not token:
        raise Wrong(401, "InvalidAuthenticationToken", "Access token is empty.", WWW_Authenticate=challenge)
    if scheme.lower() != "bearer":
        raise Wrong(401, "InvalidAuthenticationToken", "Authorization is no bearer's.", WWW_Authenticate=challenge)
    known = check(token)
    if known is None:
        text = "Access token has expired or is not yet valid."
        raise Refused(401, "InvalidAuthenticationToken", text, WWW_Authenticate=challenge)
    if known.audience.rstrip("/") not in (f"https://{call.host}", GRAPH_ID):
        text = "Access token validation failure. Invalid audience."
        raise Refused(401, "InvalidAuthenticationToken", text, WWW_Authenticate=challenge)
    return known


def allow(call: Call, who: Bearing, mailbox: Mailbox, *, policy: Collection[str] | None) -> None:
    """Raises `Refused` unless the token may do this in this mailbox.

    Args:
        call: The request.
        who: Whose token it is.
        mailbox: The mailbox.
        policy: The mailboxes that an application may open; None: all of them.
    """
    granted = {scope.rpartition("/")[2] for scope in who.scopes}
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
