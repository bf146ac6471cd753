"""The memory of the double of the authorities: who is registered, what was consented, which tokens live."""

import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Literal

from cryptography import x509

from tests.servers.authority_errors import Refused
from tests.servers.authority_keys import KeyPair, make_key_pair, service_account_json
from tests.servers.authority_model import (
    GOOGLE,
    PERSONAL,
    TENANT,
    Account,
    Claims,
    Client,
    Code,
    Device,
    Federated,
    Refresh,
    ServiceAccount,
    Tenant,
)

_ANY = ("common", "organizations", "consumers")


class State:
    """Registered by the test, changed by requests. Attributes that say how it behaves may be changed at any time."""

    def __init__(self) -> None:
        self.sign_in_as = ""
        """Address of whoever sits at the browser."""
        self.decision: Literal["consent", "deny"] = "consent"
        self.unticked: set[str] = set()
        """Scopes that the person at Google's consent page does not grant."""
        self.expires_in = 3599
        """Life of new access tokens, in seconds."""
        self.strict_reuse = False
        """A refresh token works once. Microsoft Entra's do not die by their use."""
        self.google_rotates = False
        self.device_interval = 1
        self.faults: list[str] = []
        self.issued: list[str] = []
        self.lock = threading.RLock()
        self.tenants: dict[str, Tenant] = {}
        self.accounts: dict[str, Account] = {}
        self.clients: dict[str, Client] = {}
        self.service_accounts: dict[str, ServiceAccount] = {}
        self.codes: dict[str, Code] = {}
        self.devices: dict[str, Device] = {}
        self.user_codes: dict[str, Device] = {}
        self.refreshes: dict[str, Refresh] = {}
        self.tokens: dict[str, Claims] = {}
        self.consents: dict[tuple[str, str], dict[str, set[str]]] = {}
        self.register_tenant(TENANT, domain="contoso.com")
        self.register_tenant(PERSONAL, domain="outlook.com")

    # ---- registration ----

    def register_tenant(self, name: str, *, domain: str, host: str = "login.microsoftonline.com") -> None:
        """A directory; `host` is the authority of its cloud."""
        self.tenants[name] = Tenant(id=name, domain=domain, host=host)

    def account(self, address: str, *, tenant: str = TENANT) -> Account:
        """Somebody who can sign in at Microsoft; `PERSONAL` is the tenant of outlook.com."""
        self.accounts[address.lower()] = Account(address=address, tenant=tenant)
        return self.accounts[address.lower()]

    def google_account(self, address: str) -> Account:
        """Somebody who can sign in at Google."""
        return self.account(address, tenant=GOOGLE)

    def register_client(
        self,
        name: str,
        *,
        secret: str = "",
        certificate: x509.Certificate | None = None,
        federated: Federated | None = None,
        redirect: str | tuple[str, ...] = "http://localhost",
        application: Mapping[str, Iterable[str]] | None = None,
        tenants: Iterable[str] = (),
    ) -> Client:
        """An application; without secret, certificate and federation a public one.

        Args:
            name: Its id; Google's end with `.apps.googleusercontent.com`.
            secret: Its client secret.
            certificate: Whose key signs its assertions.
            federated: Whose tokens it may present.
            redirect: Registered redirect URIs; a loopback one stands for any port.
            application: Roles granted for the flow Application, as `{"https://graph.microsoft.com": {"Mail.Read"}}`.
            tenants: Where it is known; everywhere by default.
        """
        self.clients[name] = Client(
            id=name,
            secrets={secret} if secret else set(),
            certificates=[certificate] if certificate else [],
            federated=federated,
            redirects=(redirect,) if isinstance(redirect, str) else redirect,
            application={resource.rstrip("/"): frozenset(roles) for resource, roles in (application or {}).items()},
            tenants=frozenset(tenants),
            google=name.endswith(".apps.googleusercontent.com"),
        )
        return self.clients[name]

    def register_service_account(
        self, email: str, *, domains: Iterable[str] = (), scopes: Iterable[str] = (), pair: KeyPair | None = None
    ) -> str:
        """A service account that may speak for the users of domains; returns its key file."""
        pair = pair or make_key_pair()
        self.service_accounts[email] = ServiceAccount(
            email=email, key=pair.key.public_key(), domains=frozenset(domains), scopes=frozenset(scopes)
        )
        return service_account_json(pair, email)

    # ---- what a test does to tokens ----

    def authorize(self, client: str, address: str, *scopes: str, host: str = "") -> str:
        """A refresh token, as if the account had signed in and consented to these scopes just now."""
        with self.lock:
            who, app = self.accounts[address.lower()], self.clients[client]
            if app.google:
                self.consent(app, who, "https://mail.google.com", frozenset(scopes))
                return self.issue_refresh(app, who, "oauth2.googleapis.com", scopes)
            host = host or self.home(who)
            for scope in scopes:
                resource, _, name = scope.rpartition("/")
                self.consent(app, who, resource, frozenset({name}))
            return self.issue_refresh(app, who, host, ("openid", "profile", "offline_access", *scopes))

    def revoke(self, address: str = "", *, refusal: str = "") -> None:
        """Refuses every refresh token that there is now, of one account or of all.

        Args:
            address: The account.
            refusal: Name in `ERRORS`; by default what follows a changed password.
        """
        with self.lock:
            for refresh in self.refreshes.values():
                if address.lower() in ("", refresh.account.address.lower()):
                    refresh.refused = refusal or ("google_revoked" if refresh.client.google else "AADSTS50173")

    def revoke_tokens(self, address: str = "") -> None:
        """No access token that there is now opens anything any more; refresh tokens stay."""
        with self.lock:
            for claims in self.tokens.values():
                if address.lower() in ("", claims.account.lower()):
                    claims.revoked = True

    def check(self, token: str, *, audience: str) -> Claims | str:
        """What an access token allows, or why it is not accepted: `unknown`, `expired`, `revoked`, `audience`."""
        with self.lock:
            claims = self.tokens.get(token)
        if claims is None:
            return "unknown"
        if claims.revoked:
            return "revoked"
        if not claims.alive:
            return "expired"
        return claims if claims.audience == audience.rstrip("/") else "audience"

    def look_up(self, token: str) -> Claims | None:
        """What is known of an access token that is good for something: `GraphFake(check=authority.look_up)`."""
        with self.lock:
            claims = self.tokens.get(token)
        return claims if claims and claims.alive else None

    def fault(self, text: str) -> None:
        """A client did what no correct one does."""
        self.faults.append(text)

    # ---- what endpoints ask ----

    def home(self, account: Account) -> str:
        """The authority of an account's cloud."""
        return self.tenants[account.tenant].host if account.tenant in self.tenants else "login.microsoftonline.com"

    def tenant(self, host: str, name: str) -> Tenant | None:
        """The directory that a path names, at this authority."""
        for tenant in self.tenants.values():
            if name.lower() in (tenant.id, tenant.domain) and tenant.host == host:
                return tenant
        return None

    def check_tenant(self, host: str, name: str) -> None:
        """Raises Refused if there is none."""
        if name not in _ANY and self.tenant(host, name) is None:
            raise Refused("AADSTS90002", name)

    def is_known_in(self, client: Client, host: str, name: str) -> bool:
        where = self.tenant(host, name)
        return where is None or not client.tenants or where.id in client.tenants

    def audiences(self, host: str, tenant: str) -> frozenset[str]:
        """For whom a client's assertion may be made."""
        found = self.tenant(host, tenant)
        names = {tenant, *((found.id, found.domain) if found else ())}
        return frozenset(
            f"https://{host}/{name}{path}"
            for name in names
            for path in ("/oauth2/v2.0/token", "/oauth2/token", "/v2.0")
        )

    def check_account(self, account: Account, tenant: str) -> None:
        """Raises Refused if the account may not sign in, or not there."""
        if account.blocked:
            raise Refused(account.blocked, account.address)
        if tenant == GOOGLE or account.tenant == GOOGLE:
            if account.tenant != tenant:
                raise Refused("google_no_account" if tenant == GOOGLE else "AADSTS50034", account.address)
            return
        personal = account.tenant == PERSONAL
        fits = {"common": True, "organizations": not personal, "consumers": personal}
        found = self.tenant(self.home(account), tenant)
        if not fits.get(tenant, found is not None and found.id == account.tenant):
            raise Refused("AADSTS50020", account.address)

    def consent(self, client: Client, account: Account, resource: str, names: Iterable[str]) -> None:
        granted = self.consents.setdefault((client.id, account.address), {})
        granted.setdefault(resource, set()).update(names)

    def consented(self, client: Client, account: Account, resource: str) -> frozenset[str]:
        return frozenset(self.consents.get((client.id, account.address), {}).get(resource, ())) - {".default"}

    def check_consent(self, client: Client, account: Account, resource: str, names: frozenset[str]) -> None:
        """Raises Refused if something was not consented."""
        granted = self.consented(client, account, resource)
        if not granted or names - granted - {".default"}:
            raise Refused("AADSTS65001", client.id)

    # ---- issuing ----

    def keep(self, secret: str) -> str:
        self.issued.append(secret)
        return secret

    def issue(
        self,
        *,
        client: Client,
        account: str,
        tenant: str,
        resource: str,
        scopes: frozenset[str],
        challenge: str = "",
    ) -> str:
        """A new access token, as long as real ones are."""
        token = self.keep("eyJ0" + secrets.token_urlsafe(1500))
        self.tokens[token] = Claims(
            account=account, client=client.id, tenant=tenant, audience=resource, scopes=scopes, challenge=challenge,
            expires=time.time() + self.expires_in,
        )  # fmt: skip
        return token

    def issue_google(self, client: str, account: str, scopes: frozenset[str]) -> str:
        token = self.keep("ya29." + secrets.token_urlsafe(160))
        self.tokens[token] = Claims(
            account=account, client=client, tenant=GOOGLE, audience="https://mail.google.com", scopes=scopes,
            expires=time.time() + self.expires_in,
        )  # fmt: skip
        return token

    def issue_refresh(self, client: Client, account: Account, host: str, scopes: tuple[str, ...]) -> str:
        token = self.keep(("1//0" if client.google else "1.AX") + secrets.token_urlsafe(64 if client.google else 900))
        self.refreshes[token] = Refresh(client=client, account=account, host=host, scopes=scopes)
        return token
