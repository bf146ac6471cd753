"""The bearer of one connection: its Secrets as they are now, the process's tokens, and the refresh token that is kept.

A token in memory is bound to the content of the Secrets that it was made from: after a change the next login uses the
new ones, and a token of the old ones never again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from mailfetch_fetcher import metrics
from mailfetch_fetcher.auth import google, microsoft
from mailfetch_fetcher.auth.authority import Authority, Refused, visit
from mailfetch_fetcher.auth.bearer import Rotated
from mailfetch_fetcher.auth.client import Client, as_text, read_client
from mailfetch_fetcher.auth.failures import Asked, explain, not_authorized, odd, read_refusal
from mailfetch_fetcher.auth.password import read_secret
from mailfetch_fetcher.auth.rotation import seal, unseal
from mailfetch_fetcher.auth.tokens import Granted, Tokens
from mailfetch_fetcher.contract import providers
from mailfetch_fetcher.contract import secrets as names
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.spec import OAuth2
from mailfetch_fetcher.contract.units import duration
from mailfetch_fetcher.errors import Pace, SourceError

_GOOGLE = "oauth2.googleapis.com"
_GOOGLE_DOMAIN = "googleapis.com"


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a bearer needs besides the assignment.

    Attributes:
        secrets: Directory of the mounted Secrets.
        ca: PEM certificates to trust instead of the system's, or None.
        tokens: The tokens of the process.
        rotated: Where a replaced refresh token is kept.
    """

    secrets: Path
    ca: bytes | None
    tokens: Tokens
    rotated: Rotated


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One wish for a token, with the Secrets as they were read for it. `mounted` is the refresh token, or empty."""

    asked: Asked
    scopes: Sequence[str]
    mounted: str = field(repr=False)
    claims: str

    @property
    def key(self) -> bytes:
        """What the token is for: many mailboxes share the one of an application, an account's is of one connection."""
        asked = self.asked
        whose = asked.username if asked.provider == "Google" else ""
        if asked.delegated:
            whose = f"{asked.name}\n{self.mounted}"
        parts = (asked.provider, str(asked.delegated), asked.host, asked.tenant, *sorted(self.scopes))
        text = "\n".join((asked.namespace, asked.client.secret, *parts, whose))
        return hashlib.sha256(asked.client.digest() + text.encode()).digest()


class OAuthBearer:
    """See `Bearer`."""

    def __init__(self, a: Assignment, oauth2: OAuth2, *, means: Means) -> None:
        self._a = a
        self._oauth2 = oauth2
        self._means = means
        self._delegated = oauth2.flow == "Delegated"
        self._google = a.spec.auth.type == "GoogleOAuth2"
        self._graph = a.spec.protocol == "MicrosoftGraph"
        self._timeout = duration(a.spec.schedule.timeout, default=30.0)

    def token(self, *, refused: str = "", claims: str = "") -> str:
        """See `Bearer`."""
        request = self._request(claims)
        granted = self._means.tokens.get(
            request.key, fetch=lambda: self._fetch(request), refused=refused, anew=bool(claims)
        )
        metrics.TOKEN_EXPIRY.labels(self._a.namespace, self._a.name).set(granted.expires_at)
        return granted.access_token

    # -- the Secrets -----------------------------------------------------------------------

    def check(self) -> None:
        """Reads the Secrets, so that a missing one is told before anything is connected.

        Raises:
            SourceError: something is missing.
        """
        self._request("")

    def _request(self, claims: str) -> _Request:
        spec, oauth2 = self._a.spec, self._oauth2
        client = read_client(oauth2.client_secret_ref.name, directory=self._means.secrets, namespace=self._a.namespace)
        asked = Asked(
            name=self._a.name,
            namespace=self._a.namespace,
            provider="Google" if self._google else "Microsoft",
            delegated=self._delegated,
            username=spec.auth.username,
            client=client,
            tenant=self._tenant(client),
            host=_GOOGLE if self._google else providers.CLOUDS[oauth2.cloud].authority,
        )
        client.need("client-id" if self._delegated or not self._google else "service-account.json")
        scopes = providers.scopes(
            spec.auth.type,
            spec.protocol,
            flow=oauth2.flow,
            cloud=oauth2.cloud,
            shared=bool(spec.shared_mailbox),
            writes=spec.after_download.action != "None",
        )
        mounted = self._mounted(asked) if self._delegated else ""
        return _Request(asked=asked, scopes=scopes, mounted=mounted, claims=claims)

    def _tenant(self, client: Client) -> str:
        if self._google:
            return ""
        if not self._delegated:
            return client.need("tenant-id")
        return client.get("tenant-id") or providers.DEFAULT_TENANT

    def _mounted(self, asked: Asked) -> str:
        """The refresh token in the Secret."""
        named = names.token(self._a.spec)
        if named is None:
            raise SourceError(
                "InvalidConfiguration",
                "spec.auth.oauth2.tokenSecretRef is missing; name the Secret that `kubectl mailfetch authorize` writes",
                pace=Pace.CONFIGURATION,
            )
        secret, key = named
        raw = read_secret(self._means.secrets, secret, key)
        if not raw or not (token := as_text(raw, secret=secret, key=key)):
            raise not_authorized(secret, asked)
        return token

    # -- the authority ---------------------------------------------------------------------

    def _fetch(self, request: _Request) -> Granted:
        host = request.asked.host
        # The key of a service account may name another address of Google's, see google.py.
        domain = _GOOGLE_DOMAIN if self._google else host
        with visit(host, domain=domain, ca=self._means.ca, timeout=self._timeout) as authority:
            if not self._delegated:
                return self._explained(request, lambda: self._as_application(authority, request))
            return self._delegated_token(authority, request)

    def _delegated_token(self, authority: Authority, request: _Request) -> Granted:
        """By the newest refresh token; by the one in the Secret if that is no good any more."""
        kept = self._load(request)
        if kept and kept != request.mounted:
            try:
                return self._exchange(authority, request, kept)
            except SourceError as e:
                if e.reason != "AuthorizationRequired":
                    raise
        return self._exchange(authority, request, request.mounted)

    def _exchange(self, authority: Authority, request: _Request, refresh_token: str) -> Granted:
        granted = self._explained(request, lambda: self._with_refresh_token(authority, request, refresh_token))
        if granted.refresh_token and granted.refresh_token != refresh_token:
            # Before the access token is used. A crash just before this line loses the new refresh token, which does no
            # harm: Microsoft leaves the old one valid, and Google does not replace any.
            self._save(request, granted.refresh_token)
        return granted

    def _with_refresh_token(self, authority: Authority, request: _Request, refresh_token: str) -> Granted:
        asked = request.asked
        if self._google:
            return google.with_refresh_token(
                authority, asked.client, scopes=request.scopes, refresh_token=refresh_token
            )
        return microsoft.with_refresh_token(
            authority,
            asked.client,
            host=asked.host,
            tenant=asked.tenant,
            scopes=request.scopes,
            refresh_token=refresh_token,
            claims=request.claims,
            capable=self._graph,
            now=self._means.tokens.clock.now().timestamp(),
        )

    def _as_application(self, authority: Authority, request: _Request) -> Granted:
        asked = request.asked
        if self._google:
            return google.as_service_account(authority, asked.client, scopes=request.scopes, subject=asked.username)
        return microsoft.as_application(
            authority,
            asked.client,
            host=asked.host,
            tenant=asked.tenant,
            scopes=request.scopes,
            claims=request.claims,
            capable=self._graph,
            now=self._means.tokens.clock.now().timestamp(),
        )

    def _explained(self, request: _Request, ask: Callable[[], Granted]) -> Granted:
        """Whatever comes of an answer: the libraries fail in ways of their own at one that they do not expect."""
        try:
            try:
                return ask()
            except Refused as e:
                raise explain(read_refusal(e.answer, now=self._means.tokens.clock.now()), request.asked) from None
        except (SourceError, requests.RequestException):
            raise
        except Exception as e:
            raise odd(e, request.asked) from None  # the cause may quote the answer

    # -- the refresh token that is kept ------------------------------------------------------

    @property
    def _owner(self) -> bytes:
        return f"{self._a.namespace}/{self._a.name}".encode()

    def _load(self, request: _Request) -> str:
        return unseal(self._means.rotated.load(), mounted=request.mounted.encode(), owner=self._owner)

    def _save(self, request: _Request, refresh_token: str) -> None:
        self._means.rotated.save(seal(refresh_token, mounted=request.mounted.encode(), owner=self._owner))
