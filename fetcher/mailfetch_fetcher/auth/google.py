"""Access tokens of Google, through google-auth: with a refresh token, or as a service account in a user's name."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

from mailfetch_fetcher.auth.authority import Authority
from mailfetch_fetcher.auth.client import Client
from mailfetch_fetcher.auth.tokens import Granted
from mailfetch_fetcher.contract.providers import GOOGLE_TOKEN
from mailfetch_fetcher.errors import Pace, SourceError

_KEY = "service-account.json"


def with_refresh_token(authority: Authority, client: Client, *, scopes: Sequence[str], refresh_token: str) -> Granted:
    """An access token for the account that authorized us.

    Raises:
        Refused: Google gives none.
        SourceError: the client Secret lacks something.
    """
    from google.oauth2.credentials import Credentials

    credentials = Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=refresh_token,
        token_uri=GOOGLE_TOKEN,
        client_id=client.need("client-id"),
        client_secret=client.need("client-secret"),
        scopes=list(scopes),
    )
    return _refreshed(credentials, authority)


def as_service_account(authority: Authority, client: Client, *, scopes: Sequence[str], subject: str) -> Granted:
    """An access token for a user of the Workspace that granted domain-wide delegation.

    Raises:
        Refused: Google gives none.
        SourceError: the key of the service account cannot be used.
    """
    from google.oauth2.service_account import Credentials

    info = _info(client)
    try:
        account = Credentials.from_service_account_info(info, scopes=list(scopes))  # type: ignore[no-untyped-call]
    except (ValueError, KeyError):  # the cause may quote the key
        raise _unusable(client, "it lacks client_email or a private_key that can be read") from None
    return _refreshed(account.with_subject(subject), authority)


def _info(client: Client) -> Mapping[str, Any]:
    try:
        info = json.loads(client.need(_KEY))
    except (ValueError, RecursionError):
        raise _unusable(client, "it is no JSON") from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        raise _unusable(client, "it is not of a service account")
    where = urlsplit(str(info.get("token_uri") or ""))
    if where.scheme != "https" or not (where.hostname or "").endswith(".googleapis.com") or where.username:
        # Whoever may write the Secret must not learn what opens every mailbox of the Workspace.
        raise _unusable(client, "its token_uri is not an address of Google (https://oauth2.googleapis.com/token)")
    return info


def _unusable(client: Client, why: str) -> SourceError:
    return SourceError(
        "InvalidConfiguration",
        f"key '{_KEY}' of the Secret '{client.secret}' is not the key file of a service account: {why}; store the "
        f"file as "
        "Google made it (IAM & Admin → Service Accounts → Keys → Add key → JSON)",
        pace=Pace.CONFIGURATION,
    )


class _Reply:
    """An answer with the names that google-auth reads."""

    def __init__(self, text: str) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.data = text.encode()


def _refreshed(credentials: Any, authority: Authority) -> Granted:
    def request(url: str, method: str = "POST", body: Any = None, headers: Any = None, **_: Any) -> _Reply:
        return _Reply(authority.post(url, data=body, headers=headers).text)

    credentials.refresh(request)
    return Granted(
        access_token=credentials.token,
        expires_at=_seconds(credentials.expiry),
        refresh_token=getattr(credentials, "refresh_token", None) or "",
    )


def _seconds(expiry: Any) -> float:
    """google-auth keeps the end in UTC, without saying so."""
    return float(expiry.replace(tzinfo=UTC).timestamp())
