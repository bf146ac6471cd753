"""Why an authority gave no token, decoded for the administrator (pure). No text ever holds a token or a secret."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailfetch_fetcher.auth import meanings
from mailfetch_fetcher.auth.client import Client
from mailfetch_fetcher.contract.reasons import Reason
from mailfetch_fetcher.contract.texts import without_credentials
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.https import Answer, retry_after

_TRACE = re.compile(r"\s*(Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)
"""Differs each time, so that the same failure would look like a new one."""
_SENTENCE = re.compile(r"[.!?](\s|$)")
_LONGEST = 240
_AADSTS = re.compile(r"AADSTS(\d{4,8})")
_CODES = 10**8
_PERSON = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})
_LATER = frozenset({"temporarily_unavailable", "server_error", "internal_failure"})
_LIMITED = frozenset({"rate_limit_exceeded", "slow_down", "RESOURCE_EXHAUSTED"})
_OURS = frozenset(
    {
        "invalid_scope",
        "invalid_resource",
        "invalid_request",
        "invalid_tenant",
        "unsupported_grant_type",
        "invalid_target",
    }
)


def authorize_command(name: str, namespace: str) -> str:
    """The command with which a person authorizes a connection."""
    return f"kubectl mailfetch authorize {name} -n {namespace}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asked for a token, for messages.

    Attributes:
        name: The connection.
        namespace: Its namespace.
        provider: `Microsoft` or `Google`.
        delegated: The flow is Delegated: a person can authorize again.
        username: spec.auth.username.
        client: The client Secret.
        tenant: Microsoft's tenant.
        host: Of the authority.
    """

    name: str
    namespace: str
    provider: str
    delegated: bool
    username: str
    client: Client
    tenant: str
    host: str

    @property
    def authorize(self) -> str:
        """The command with which a person authorizes."""
        return authorize_command(self.name, self.namespace)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer of a token endpoint that is no token (RFC 6749 section 5.2, with the additions of the providers).

    Attributes:
        status: HTTP status.
        error: OAuth2 error.
        subtype: Google's `error_subtype`, Microsoft's `suberror`.
        codes: AADSTS codes.
        text: The description's first sentence; empty without one.
        retry_after: Seconds that the authority asks us to wait.
    """

    status: int
    error: str = ""
    subtype: str = ""
    codes: tuple[int, ...] = ()
    text: str = ""
    retry_after: float | None = None


def read_refusal(answer: Answer, *, now: datetime) -> Refusal:
    """What an answer says; one that is no JSON says nothing but its status."""
    try:
        body = json.loads(answer.text)
    except ValueError:
        body = {}
    told: Mapping[str, object] = body if isinstance(body, dict) else {}
    error: Any = told.get("error")
    described: Any = told.get("error_description")
    if isinstance(error, dict):  # Google's other shape: {"error": {"code": 429, "message": …, "status": …}}
        error, described = error.get("status"), error.get("message")
    listed = told.get("error_codes")
    codes = tuple(c for c in listed if isinstance(c, int) and c < _CODES) if isinstance(listed, list) else ()
    if not codes and (found := _AADSTS.search(str(described))):
        codes = (int(found[1]),)
    return Refusal(
        status=answer.status_code,
        error=first_sentence(error) if isinstance(error, str) else "",
        subtype=str(told.get("error_subtype") or told.get("suberror") or ""),
        codes=codes,
        text=first_sentence(described) if isinstance(described, str) else "",
        retry_after=retry_after(answer.headers.get("Retry-After"), now=now),
    )


def first_sentence(text: str) -> str:
    """The start of a provider's text for people: without ids of the request, bounded, without anything like a token."""
    text = " ".join(_TRACE.sub("", text).split())
    end = _SENTENCE.search(text)
    text = without_credentials(text[: end.start()] if end else text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


# ---- what it means ----


def explain(refusal: Refusal, asked: Asked) -> SourceError:
    """The failure of a request for a token.

    Transient trouble is never taken for bad credentials, whatever the body says.
    """
    if refusal.status == 429 or refusal.error in _LIMITED or meanings.LOOP in refusal.codes:
        seconds = refusal.retry_after or (meanings.LOOP_SECONDS if meanings.LOOP in refusal.codes else None)
        text = f"{asked.host} limits how often tokens are asked for ({_said(refusal)}); it is tried again later"
        return SourceError("Throttled", text, pace=Pace.SLOW, retry_after=seconds)
    if refusal.status >= 500 or refusal.error in _LATER or meanings.TRANSIENT.intersection(refusal.codes):
        text = f"{asked.host} has trouble at the moment ({_said(refusal)}); it is tried again"
        return SourceError("ConnectionFailed", text, retry_after=refusal.retry_after)
    decoded = _microsoft(refusal, asked) if asked.provider == "Microsoft" else _google(refusal, asked)
    return decoded or _by_error(refusal, asked)


def _microsoft(refusal: Refusal, asked: Asked) -> SourceError | None:
    if not asked.delegated and 65001 in refusal.codes:
        return _client("AuthFailed", meanings.CONSENT, refusal, asked)
    for code in refusal.codes:
        if code in meanings.CLIENT:
            return _client(*meanings.CLIENT[code], refusal, asked)
        if code in meanings.AUTHORIZE:
            what = meanings.AUTHORIZE[code]
            return _authorize(what, refusal, asked) if asked.delegated else _client("AuthFailed", what, refusal, asked)
    return None


def _google(refusal: Refusal, asked: Asked) -> SourceError | None:
    described = refusal.text.lower()
    if asked.delegated:
        if refusal.subtype == "invalid_rapt" or "invalid_rapt" in described:
            return _authorize(meanings.GOOGLE_SESSION, refusal, asked)
        if refusal.error == "invalid_grant":
            return _authorize(meanings.GOOGLE_ENDED, refusal, asked)
    else:
        if refusal.error in ("unauthorized_client", "access_denied"):
            return _client("AuthFailed", meanings.GOOGLE_DELEGATION, refusal, asked)
        for part, reason, what in meanings.GOOGLE_ASSERTION if refusal.error == "invalid_grant" else ():
            if part in described:
                return _client(reason, what, refusal, asked)
    if known := meanings.GOOGLE_CLIENT.get(refusal.error):
        return _client(*known, refusal, asked)
    return None


def _by_error(refusal: Refusal, asked: Asked) -> SourceError:
    """Nothing known but the error of RFC 6749, or not even that."""
    if refusal.error in _PERSON and asked.delegated:
        return _authorize("a new sign-in is wanted", refusal, asked)
    if refusal.error in _OURS:
        what = "this request is not accepted; check the keys of the Secret '{secret}', and spec.auth"
        return _client("InvalidConfiguration", what, refusal, asked)
    if refusal.error:
        what = "the app is given no token; check the keys of the Secret '{secret}'"
        return _client("AuthFailed", what, refusal, asked)
    text = (
        f"{asked.host} answered a request for a token with HTTP {refusal.status} and no reason; if a proxy or firewall "
        "stands in between, let the pod reach the host directly"
    )
    return SourceError("ConnectionFailed", text, pace=Pace.CONFIGURATION, retry_after=refusal.retry_after)


def odd(error: Exception, asked: Asked) -> SourceError:
    """An answer that made `error` of itself; its text is not shown, it may quote the answer."""
    return SourceError(
        "ConnectionFailed",
        f"the answer of {asked.host} to a request for a token is not what {asked.provider} sends "
        f"({type(error).__name__}); it is tried again; if a proxy or firewall stands in between, let the pod reach the "
        "host directly",
    )


def _authorize(what: str, refusal: Refusal, asked: Asked) -> SourceError:
    text = (
        f"{asked.provider} gives no token for {asked.username}: {_filled(what, asked)} ({_said(refusal)}); authorize "
    )
    return SourceError("AuthorizationRequired", f"{text}again: {asked.authorize}", pace=Pace.SLOW)


def _client(reason: Reason, what: str, refusal: Refusal, asked: Asked) -> SourceError:
    pace = Pace.SLOW if reason == "AuthFailed" else Pace.CONFIGURATION
    return SourceError(reason, f"{asked.provider}: {_filled(what, asked)} ({_said(refusal)})", pace=pace)


def _filled(what: str, asked: Asked) -> str:
    return what.format(secret=asked.client.secret, tenant=asked.tenant, user=asked.username)


def _said(refusal: Refusal) -> str:
    """What the authority said itself: error and sentence, for a search engine."""
    said = ": ".join(part for part in (refusal.error, refusal.text) if part) or f"HTTP {refusal.status}"
    codes = [f"AADSTS{code}" for code in refusal.codes if f"AADSTS{code}" not in said]
    return " ".join((*codes, said))


def not_authorized(secret: str, asked: Asked) -> SourceError:
    """There is no refresh token yet."""
    return SourceError(
        "AuthorizationRequired",
        f"nobody has authorized the access to the mailbox of {asked.username} yet: the Secret '{secret}' "
        f"(spec.auth.oauth2.tokenSecretRef) holds no refresh token; run: {asked.authorize}",
        pace=Pace.CONFIGURATION,
    )
