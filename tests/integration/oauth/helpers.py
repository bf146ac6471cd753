"""Mailboxes at Google and Microsoft, and the Secrets and specs of connections to them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mailfetch_fetcher.auth.bearer import Bearer
from mailfetch_fetcher.auth.tokens import Tokens
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.connect import make_bearer
from mailfetch_fetcher.contract.assignment import Assignment
from tests.integration.fetcher.helpers import NEVER, Fetcher, Mounts, assignment
from tests.servers import mailgen
from tests.servers.authority import Authority
from tests.servers.authority_keys import KeyPair, make_key_pair
from tests.servers.authority_model import TENANT
from tests.servers.dovecot import Dovecot
from tests.servers.redis import wait_until

MICROSOFT_HOST, GOOGLE_HOST = "outlook.office365.com", "mail.google.com"
IMAP_SCOPE = "https://outlook.office.com/IMAP.AccessAsUser.All"
POP_SCOPE = "https://outlook.office.com/POP.AccessAsUser.All"
GOOGLE_SCOPE = "https://mail.google.com/"
GOOGLE_CLIENT = "mailfetch.apps.googleusercontent.com"
_numbers = itertools.count()


class Nowhere:
    """Keeps refresh tokens in memory."""

    sealed = b""

    def load(self) -> bytes:
        return self.sealed

    def save(self, sealed: bytes) -> None:
        self.sealed = sealed


@dataclass(kw_only=True)
class Mailbox:
    """An account and its mail.

    Attributes:
        address: Of the account.
        dovecot: Where its mail is.
        provider: `Microsoft` or `Google`.
        client: Content of the client Secret.
        refresh_token: Content of the token Secret; empty: the flow is Application.
    """

    address: str
    dovecot: Dovecot
    provider: str
    client: Mapping[str, str]
    refresh_token: str = ""

    def give_secrets(self, mounts: Mounts, *, client: str = "client", token: str = "token") -> None:
        """As they are mounted, with the CA."""
        for key, value in self.client.items():
            mounts.write(f"secrets/{client}/{key}", value + "\n")
        if self.refresh_token:
            mounts.write(f"secrets/{token}/refresh-token", self.refresh_token)
        mounts.write("secrets/ca/ca.crt", self.dovecot.certificates.ca.read_bytes())

    def spec(self, **changes: Any) -> dict[str, Any]:
        """A spec without a server: the provider's own."""
        oauth2: dict[str, Any] = {"clientSecretRef": {"name": "client"}, "flow": "Application"}
        if self.refresh_token:
            oauth2 = {"clientSecretRef": {"name": "client"}, "tokenSecretRef": {"name": "token"}}
        return {
            "protocol": "IMAP",
            "tls": {"caSecretRef": {"name": "ca"}},
            "auth": {"type": f"{self.provider}OAuth2", "username": self.address, "oauth2": oauth2},
            "schedule": {"interval": NEVER},
            **changes,
        }


@dataclass(kw_only=True)
class Providers:
    """Both, with an app at each that is registered anew for each test."""

    authority: Authority
    exchange: Dovecot
    gmail: Dovecot
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def addresses(self) -> dict[tuple[str, int], int]:
        """For `resolve`."""
        return {
            **self.authority.addresses,
            (MICROSOFT_HOST, 993): self.exchange.imaps_port,
            (MICROSOFT_HOST, 995): self.exchange.pop3s_port,
            ("imap.gmail.com", 993): self.gmail.imaps_port,
            ("pop.gmail.com", 995): self.gmail.pop3s_port,
        }

    @property
    def app(self) -> str:
        """Client ID at Microsoft."""
        return f"app-{self.number}"

    def microsoft(self, *, scopes: tuple[str, ...] = (IMAP_SCOPE, POP_SCOPE), secret: str = "s3cret~value") -> Mailbox:
        """Somebody who has authorized a confidential client."""
        self.authority.register_client(self.app, secret=secret)
        address = self._address("contoso.com")
        self.authority.account(address)
        client = {"client-id": self.app, "client-secret": secret}
        token = self.authority.authorize(self.app, address, *scopes)
        return Mailbox(address=address, dovecot=self.exchange, provider="Microsoft", client=client, refresh_token=token)

    def application(self, *, client: Mapping[str, str], **registered: Any) -> Mailbox:
        """A mailbox that an application may open."""
        roles = {"https://outlook.office365.com": {"IMAP.AccessAsApp", "POP.AccessAsApp"}}
        self.authority.register_client(self.app, application=roles, **registered)
        content = {"client-id": self.app, "tenant-id": TENANT, **client}
        return Mailbox(
            address=self._address("contoso.com"), dovecot=self.exchange, provider="Microsoft", client=content
        )

    def google(self) -> Mailbox:
        """Somebody who has authorized a desktop client."""
        self.authority.register_client(GOOGLE_CLIENT, secret="GOCSPX-x")
        address = self._address("example.com")
        self.authority.google_account(address)
        client = {"client-id": GOOGLE_CLIENT, "client-secret": "GOCSPX-x"}
        token = self.authority.authorize(GOOGLE_CLIENT, address, GOOGLE_SCOPE)
        return Mailbox(address=address, dovecot=self.gmail, provider="Google", client=client, refresh_token=token)

    def service_account(self, *, pair: KeyPair | None = None) -> Mailbox:
        """A mailbox of a Workspace with domain-wide delegation."""
        address = self._address("example.com")
        self.authority.google_account(address)
        file = self.authority.register_service_account(
            f"robot{self.number}@project.iam.gserviceaccount.com",
            domains={"example.com"},
            scopes={GOOGLE_SCOPE},
            pair=pair or make_key_pair(),
        )
        return Mailbox(address=address, dovecot=self.gmail, provider="Google", client={"service-account.json": file})

    def _address(self, domain: str) -> str:
        return f"u{next(_numbers)}@{domain}"


def bearer_of(mailbox: Mailbox, mounts: Mounts, **changes: Any) -> Bearer:
    """Of a connection to it, with tokens of its own."""
    mailbox.give_secrets(mounts)
    a = assignment(mailbox.spec(**changes))
    made = make_bearer(a, secrets=mounts.directory / "secrets", tokens=Tokens(Clock()), rotated=Nowhere())
    assert made
    return made


def start(fetcher: Fetcher, mailbox: Mailbox, *, mails: int = 1, **changes: Any) -> Assignment:
    """Runs it with so many mails in it."""
    mailbox.dovecot.fill(mailbox.address, mailgen.mails(mails))
    mailbox.give_secrets(fetcher)
    a = assignment(mailbox.spec(**changes))
    fetcher.assign(a)
    return a


def leave(fetcher: Fetcher) -> None:
    """Ends the sessions."""
    fetcher.assign()
    wait_until(lambda: not fetcher.env.hub.wait("", 0).connections, what="the sessions have ended")


def asking(a: Assignment, value: str) -> Assignment:
    """With another request to fetch."""
    return msgspec.structs.replace(a, requests={"fetch": value})
