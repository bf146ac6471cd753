"""Access tokens of Microsoft Entra, through msal: with a refresh token, or as the application itself.

A new msal application for each request: its HTTP cache would repeat a refusal for a minute after the Secret was
corrected, and its token cache is not ours (`tokens.py`).
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from mailfetch_fetcher.auth.authority import Authority
from mailfetch_fetcher.auth.client import Client
from mailfetch_fetcher.auth.tokens import Granted
from mailfetch_fetcher.errors import Pace, SourceError

_CAPABLE = "CP1"
"""Name of the capability to meet claims challenges."""
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_Credential = str | dict[str, Any] | None
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def with_refresh_token(
    authority: Authority,
    client: Client,
    *,
    host: str,
    tenant: str,
    scopes: Sequence[str],
    refresh_token: str,
    claims: str,
    capable: bool,
    now: float,
) -> Granted:
    """An access token for the account that authorized us.

    Args:
        authority: From `authority.visit`.
        client: The app; without a secret or certificate it is a public client.
        host: Of the authority.
        tenant: Tenant, or one of Microsoft's common ones.
        scopes: Of the access token.
        refresh_token: From the Secret, or the newest that Microsoft gave.
        claims: Claims challenge of the resource (JSON), or nothing.
        capable: We understand such challenges (client capability CP1): only Graph sends them.
        now: Seconds since 1970.

    Raises:
        Refused: the authority gives none.
        SourceError: the client Secret cannot be used.
    """
    app = _app(authority, client, _credential(client), host=host, tenant=tenant, capable=capable)
    # msal merges claims and capabilities in its other methods, but not in this one.
    merged = _claims(claims, capable=capable)
    answer = app.acquire_token_by_refresh_token(
        refresh_token, list(scopes), **({"data": {"claims": merged}} if merged else {})
    )
    return _granted(answer, now=now)


def as_application(
    authority: Authority,
    client: Client,
    *,
    host: str,
    tenant: str,
    scopes: Sequence[str],
    claims: str,
    capable: bool,
    now: float,
) -> Granted:
    """An access token for the app itself (client credentials). Arguments and errors as in `with_refresh_token`."""
    credential = _credential(client)
    if credential is None:
        raise SourceError("SecretNotFound", client.missing("client-secret"), pace=Pace.CONFIGURATION)
    app = _app(authority, client, credential, host=host, tenant=tenant, capable=capable)
    challenge = _claims(claims, capable=False) or None  # here msal adds the capability
    return _granted(app.acquire_token_for_client(list(scopes), claims_challenge=challenge), now=now)


def _app(
    authority: Authority, client: Client, credential: _Credential, *, host: str, tenant: str, capable: bool
) -> Any:
    import msal

    if not _TENANT.fullmatch(tenant):
        raise _unusable(client)
    options: dict[str, Any] = {
        "authority": f"https://{host}/{tenant}",
        "http_client": authority,
        "instance_discovery": False,  # the host is one of our own table
        "client_capabilities": [_CAPABLE] if capable else None,
    }
    client_id = client.need("client-id")
    if credential is None:
        return msal.PublicClientApplication(client_id, **options)
    return msal.ConfidentialClientApplication(client_id, client_credential=credential, **options)


def _credential(client: Client) -> _Credential:
    """What the app proves itself with: the strongest that is there, so that an old secret may stay a while."""
    if assertion := client.get("federated-token"):
        return {"client_assertion": lambda: assertion}
    if certificate := client.get("certificate.pem"):
        key = _KEY.search(client.get("private-key.pem") or certificate)  # both may be in one file
        if not key:
            raise SourceError("SecretNotFound", client.missing("private-key.pem"), pace=Pace.CONFIGURATION)
        _check_pair(client, key[0], certificate)
        return {"private_key": key[0], "public_certificate": "\n".join(_certificates(certificate))}
    return client.get("client-secret") or None


def _check_pair(client: Client, key: str, certificate: str) -> None:
    """Refuses what msal would stumble over in the middle of a request."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        private = load_pem_private_key(key.encode(), None)
        public = load_pem_x509_certificate(certificate.encode()).public_key()
        good = isinstance(private, RSAPrivateKey) and private.public_key() == public
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
        good = False
    if not good:
        raise _unusable(client)


def _unusable(client: Client) -> SourceError:
    """No cause is shown with it: it may quote the key."""
    return SourceError(
        "InvalidConfiguration",
        f"the keys of the Secret '{client.secret}' make no OAuth2 client: certificate.pem and private-key.pem must be "
        "PEM, RSA, without a passphrase and belong together, tenant-id must be a tenant's ID or domain",
        pace=Pace.CONFIGURATION,
    )


def _certificates(text: str) -> list[str]:
    return [match[0] for match in _CERTIFICATE.finditer(text)]


def _claims(challenge: str, *, capable: bool) -> str:
    """Claims of the request; empty: none."""
    try:
        asked = json.loads(challenge) if challenge else {}
    except (ValueError, RecursionError):
        asked = {}
    readable = isinstance(asked, dict) and isinstance(asked.get("access_token", {}), dict)
    claims: dict[str, Any] = asked if readable else {}
    if capable:
        claims["access_token"] = {**claims.get("access_token", {}), "xms_cc": {"values": [_CAPABLE]}}
    return json.dumps(claims) if claims else ""


def _granted(answer: dict[str, Any], *, now: float) -> Granted:
    return Granted(
        access_token=str(answer["access_token"]),
        expires_at=now + float(answer["expires_in"]),
        refresh_token=str(answer.get("refresh_token") or ""),
    )
