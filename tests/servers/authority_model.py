"""What the double of the authorities knows: tenants, accounts, clients, and what was granted to whom."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.servers.authority_errors import Refused

GOOGLE = "google"
TENANT = "11111111-1111-1111-1111-111111111111"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of all personal accounts."""
OIDC = frozenset({"openid", "profile", "email", "offline_access"})
GOOGLE_MAIL = "https://mail.google.com/"
GOOGLE_SCOPES = frozenset(
    {
        *(GOOGLE_MAIL, "https://www.googleapis.com/auth/gmail.imap_admin"),
        *("openid", "email", "profile", "https://www.googleapis.com/auth/userinfo.email"),
    }
)

_MAIL = ("IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "SMTP.Send", ".default")
_GRAPH = (
    *("Mail.Read", "Mail.ReadWrite", "Mail.Read.Shared", "Mail.ReadWrite.Shared", "User.Read", "Mail.ReadBasic"),
    ".default",
)
RESOURCES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "login.microsoftonline.com": {
        "https://graph.microsoft.com": _GRAPH,
        "https://outlook.office.com": _MAIL,
        "https://outlook.office365.com": _MAIL,
    },
    "login.microsoftonline.us": {
        "https://graph.microsoft.us": _GRAPH,
        "https://dod-graph.microsoft.us": _GRAPH,
        "https://outlook.office365.us": _MAIL,
        "https://outlook-dod.office365.us": _MAIL,
    },
    "login.partner.microsoftonline.cn": {
        "https://microsoftgraph.chinacloudapi.cn": _GRAPH,
        "https://partner.outlook.cn": _MAIL,
    },
}
"""By authority: resource → its permissions; the first is meant where a scope names none."""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A directory of Microsoft Entra; `host` is the authority of its cloud."""

    id: str
    domain: str
    host: str = "login.microsoftonline.com"


@dataclass(kw_only=True, eq=False)
class Account:
    """A person who can sign in. `tenant` is `GOOGLE` for Google's.

    Attributes:
        blocked: Name of the refusal that every grant for this account meets, as `AADSTS50057`.
    """

    address: str
    tenant: str
    blocked: str = ""


@dataclass(frozen=True, kw_only=True)
class Federated:
    """Whose tokens are as good as a secret: a cluster's issuer, the subject of a service account, its public key."""

    issuer: str
    subject: str
    key: RSAPublicKey


@dataclass(kw_only=True, eq=False)
class Client:
    """A registered application; public if it has no credentials.

    Attributes:
        application: Roles of the flow Application that an administrator granted, by resource.
        tenants: Where it is known; empty: everywhere.
        refused: Name of the refusal that each of its requests meets.
    """

    id: str
    secrets: set[str]
    certificates: list[x509.Certificate]
    federated: Federated | None
    redirects: tuple[str, ...]
    application: Mapping[str, frozenset[str]]
    tenants: frozenset[str]
    google: bool
    refused: str = ""
    used_assertions: set[str] = field(default_factory=set)

    @property
    def public(self) -> bool:
        return not (self.secrets or self.certificates or self.federated)


@dataclass(kw_only=True, eq=False)
class ServiceAccount:
    """Google's: a key, and the scopes for which the administrators of domains let it speak for their users."""

    email: str
    key: RSAPublicKey
    domains: frozenset[str]
    scopes: frozenset[str]


@dataclass(kw_only=True, eq=False)
class Code:
    """An authorization code: one use, bound to what the authorization request said."""

    client: Client
    account: Account
    host: str
    redirect: str
    challenge: str
    scopes: tuple[str, ...]
    nonce: str
    offline: bool
    used: bool = False


@dataclass(kw_only=True, eq=False)
class Device:
    """A device code that waits for somebody to type its user code."""

    client: Client
    host: str
    tenant: str
    scopes: tuple[str, ...]
    state: Literal["pending", "approved", "declined", "expired", "used"] = "pending"
    account: Account | None = None


@dataclass(kw_only=True, eq=False)
class Refresh:
    """A refresh token: for one client and account, whatever the resource.

    Attributes:
        refused: Name of the refusal that its use meets from now on.
        used: It was exchanged for a newer one.
    """

    client: Client
    account: Account
    host: str
    scopes: tuple[str, ...]
    refused: str = ""
    used: bool = False


@dataclass(kw_only=True, eq=False)
class Claims:
    """An access token that was issued.

    Attributes:
        account: Address of whoever signed in, or of the delegated user; empty: the application itself.
        client: Its id.
        tenant: Of the account, or of the application's request.
        audience: The resource, without a slash at its end.
        scopes: Short names (`Mail.ReadWrite`, `IMAP.AccessAsUser.All`, `IMAP.AccessAsApp`); for Google whole ones.
        expires: Unix seconds.
        revoked: By the test.
        challenge: The claims that the request asked for.
    """

    account: str
    client: str
    tenant: str
    audience: str
    scopes: frozenset[str]
    expires: float
    revoked: bool = False
    challenge: str = ""

    @property
    def application(self) -> bool:
        return not self.account

    @property
    def alive(self) -> bool:
        return not self.revoked and time.time() < self.expires


@dataclass(kw_only=True, eq=False)
class Request:
    """One request that arrived, without secrets; `outcome` is empty until it is answered."""

    host: str
    endpoint: str
    grant: str = ""
    client: str = ""
    scopes: tuple[str, ...] = ()
    authentication: str = ""
    account: str = ""
    claims: str = ""
    outcome: str = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """An HTTP request as it was read."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    headers: Mapping[str, str]


Json = dict[str, Any]


def resource_scopes(host: str, scopes: tuple[str, ...]) -> tuple[str, frozenset[str]]:
    """Resource and short names of what is not OIDC's own.

    Raises:
        Refused: as Microsoft Entra does for several resources, none, or an unknown one.
    """
    found: dict[str, set[str]] = {}
    for scope in scopes:
        if scope in OIDC:
            continue
        resource, slash, name = scope.rpartition("/") if "://" in scope else (next(iter(RESOURCES[host])), "/", scope)
        if resource not in RESOURCES[host]:
            raise Refused("AADSTS500011", resource)
        if not slash or name not in RESOURCES[host][resource]:
            raise Refused("AADSTS70011", scope)
        found.setdefault(resource, set()).add(name)
    if not found:  # OIDC alone means Graph's User.Read
        return next(iter(RESOURCES[host])), frozenset({"User.Read"})
    if len(found) > 1:
        raise Refused("AADSTS28000")
    resource, names = next(iter(found.items()))
    return resource, frozenset(names)
