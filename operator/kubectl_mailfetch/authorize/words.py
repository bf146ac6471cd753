"""What the providers' refusals of a sign-in mean, and what to change. Pure.

Source of the numbers: learn.microsoft.com "Microsoft Entra authentication and authorization error codes"; Google:
developers.google.com/identity/protocols/oauth2. The numbers are for diagnosis and may change, so the provider's own
first sentence is always shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubectl_mailfetch.authorize.http import Odd
from kubectl_mailfetch.authorize.plan import Plan
from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.model import said


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a sign-in brought.

    Attributes:
        access: Access token.
        refresh: Refresh token; empty if the provider gave none.
        scopes: What was granted, as the provider writes it.
        account: Address of the account that signed in; empty if it is not known.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    scopes: frozenset[str]
    account: str = ""


_CONSENT = (
    "an administrator has to consent to the permissions of this app first: in Entra ID, App registrations, API"
    " permissions, Grant admin consent (docs/providers/microsoft-365.md)"
)
_CONDITIONAL = (
    "a Conditional Access policy refuses this sign-in: satisfy it (compliant device, network, multi-factor), have this"
    " app excepted, or, if it forbids device codes, leave --device out"
)
_NOT_PUBLIC = (
    "the app is not a public client: in Entra ID, App registrations, Authentication, set 'Allow public client flows' to"
    " Yes and add http://localhost under 'Mobile and desktop applications'; or add the key client-secret to the Secret"
    " {client_secret}"
)
_AADSTS: Mapping[str, str] = {
    "50011": "the app does not know the address that the browser returns to: add http://localhost under Authentication,"
    " 'Mobile and desktop applications'",
    "50020": "this account is of another organisation than the app: sign in as {username}, or correct the key"
    " tenant-id of the Secret {client_secret}",
    "50034": "there is no such account in this organisation: sign in as {username}, or correct the key tenant-id of the"
    " Secret {client_secret}",
    "50105": "the account is not assigned to the app: in Entra ID, Enterprise applications, Users and groups, assign"
    " it",
    "50194": "the app is for one organisation only: set the key tenant-id of the Secret {client_secret} to that tenant",
    "53000": _CONDITIONAL,
    "53001": _CONDITIONAL,
    "53002": _CONDITIONAL,
    "53003": _CONDITIONAL,
    "65001": _CONSENT,
    "65004": "the permissions were declined: run the command again and accept them",
    "70011": "the app may not ask for these permissions: add them in Entra ID, App registrations, API permissions",
    "90002": "the tenant does not exist: correct the key tenant-id of the Secret {client_secret}",
    "90094": _CONSENT,
    "90095": _CONSENT,
    "500011": "Exchange Online is not known in this organisation: does it have mailboxes there? Check tenant-id and"
    " spec.auth.oauth2.cloud",
    "650052": "the organisation has no subscription for this service: check tenant-id of the Secret {client_secret}",
    "650056": "the app is not set up: add the permissions in Entra ID, App registrations, API permissions",
    "700016": "the app is not known in this organisation: correct client-id or tenant-id of the Secret"
    " {client_secret}, or spec.auth.oauth2.cloud",
    "700025": "the app is a public client, which has no secret: remove the key client-secret from the Secret"
    " {client_secret}",
    "700027": "the certificate is not that of the app: correct certificate.pem and private-key.pem of the Secret"
    " {client_secret}, or upload the certificate in Entra ID",
    "7000215": "the client secret is wrong: put the secret's value (not its id) into the key client-secret of the"
    " Secret {client_secret}",
    "7000218": _NOT_PUBLIC,
    "7000222": "the client secret has expired: make a new one in Entra ID and put it into the key client-secret of the"
    " Secret {client_secret}",
    "900440": "the account is in another of Microsoft's clouds: correct spec.auth.oauth2.cloud",
}
_ERRORS: Mapping[str, str] = {
    "access_denied": "the permissions were declined, or an administrator has to allow the app: run the command again"
    " and accept them",
    "authorization_declined": "the permissions were declined: run the command again and accept them",
    "authorization_pending": "nobody entered the code in time: run the command again",
    "expired_token": "nobody entered the code in time: run the command again",
    "admin_policy_enforced": "the Workspace administrator does not allow this app: Admin console, Security, API"
    " controls",
    "org_internal": "the app is only for its own organisation: sign in as {username}",
    "invalid_client": "the client is not known, or its secret is wrong: correct the Secret {client_secret}",
    "deleted_client": "the client was deleted at the provider: make a new one and put it into the Secret"
    " {client_secret}",
    "redirect_uri_mismatch": "the client is not of type 'Desktop app': make one of that type, and put it into the"
    " Secret {client_secret}",
}


def refusal(answer: Mapping[str, Any], plan: Plan) -> PluginError:
    """The error for a person, from the provider's `error` and `error_description`."""
    error = said(answer.get("error") or "unknown error")[:80]
    description = said(answer.get("error_description") or "")
    number = re.search(r"\bAADSTS(\d{4,8})\b", description)
    known = _AADSTS.get(number[1]) if number else None
    remedy = known or _ERRORS.get(error) or ""
    sentence = _first_sentence(description)
    refused = f"{plan.provider} refused the authorization: {error}" + (f", {sentence}" if sentence else "")
    what = f"\nWhat to do: {remedy.format(username=plan.username, client_secret=plan.client_secret)}." if remedy else ""
    return PluginError(f"{refused}{what}\nNothing was written.")


def unreachable(host: str, error: Exception) -> PluginError:
    """The provider cannot be asked; the text of the exception is left out, for it may show the request."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return PluginError(
            f"the certificate of {host} is not trusted. If a proxy of your organisation opens TLS, name its authority"
            " with --ca-file. Nothing was written."
        )
    if isinstance(error, Odd):
        return PluginError(
            f"{host} answered with {error}: a proxy in between, or a fault there. Try again later. Nothing was written."
        )
    return PluginError(
        f"cannot reach {host} ({type(error).__name__}). Check the network and HTTPS_PROXY. Nothing was written."
    )


def check_scopes(granted: Granted, plan: Plan) -> None:
    """Users can untick permissions, and some apps give no refresh token.

    Raises:
        PluginError: what the connection needs was not granted.
    """
    # Microsoft leaves the resource out of its own ("Mail.Read"), and has no fixed case.
    names = {s.rstrip("/").rpartition("/")[2].lower() for s in granted.scopes}
    if missing := [s for s in plan.scopes if s.rstrip("/").rpartition("/")[2].lower() not in names]:
        raise PluginError(
            f"the permission {' and '.join(missing)} was not granted. Run the command again and tick it"
            f"{'' if plan.provider == 'Google' else '; the app needs it under API permissions'}. Nothing was written."
        )
    if not granted.refresh:
        raise PluginError(
            f"{plan.provider} gave no refresh token, so nothing could be fetched once you are gone. Remove the app's"
            " access in the account's security settings and run the command again. Nothing was written."
        )


def _first_sentence(text: str) -> str:
    """Without the trace ids that follow, and bounded."""
    head = re.split(r"(?<=[.!?])\s|\s(?:Trace ID|Correlation ID):", text, maxsplit=1)[0]
    return head.strip()[:300]
