"""A tenant of Microsoft 365: its authority, its Graph, one account with a mailbox, and the Secrets and spec for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.integration.fetcher.helpers import NEVER, Mounts
from tests.servers.authority import Authority
from tests.servers.authority_model import TENANT
from tests.servers.certs import Certificates
from tests.servers.graph import GraphFake
from tests.servers.graph_mailbox import Mailbox
from tests.servers.resolve import Addresses, resolve

USER = "u@contoso.com"
GRAPH = "https://graph.microsoft.com"
OFTEN = {"interval": "200ms", "timeout": "5s"}


class Tenant:
    """Use `running`."""

    def __init__(self, certificates: Certificates, authority: Authority, graph: GraphFake) -> None:
        self.authority = authority
        self.graph = graph
        self._certificates = certificates
        authority.account(USER)
        authority.register_client("app", secret="s", application={GRAPH: {"Mail.ReadWrite"}})
        self.mailbox = graph.mailbox(USER)

    @property
    def addresses(self) -> Addresses:
        """For a fetcher in another process."""
        return {**self.authority.addresses, ("graph.microsoft.com", 443): self.graph.port}

    def give_secrets(self, fetcher: Mounts, *scopes: str) -> None:
        """As the plugin and the administrator make them."""
        allowed = [f"{GRAPH}/{scope}" for scope in scopes or ("Mail.Read", "Mail.ReadWrite")]
        fetcher.write("secrets/ca/ca.crt", self._certificates.ca.read_bytes())
        for key, value in {"client-id": "app", "client-secret": "s", "tenant-id": TENANT}.items():
            fetcher.write(f"secrets/client/{key}", value)
        fetcher.write("secrets/token/refresh-token", self.authority.authorize("app", USER, *allowed))

    def spec(self, *, flow: str = "Delegated", username: str = USER, **changes: Any) -> dict[str, Any]:
        """A spec whose parts may be replaced."""
        oauth2: dict[str, Any] = {"clientSecretRef": {"name": "client"}, "flow": flow}
        if flow == "Delegated":
            oauth2["tokenSecretRef"] = {"name": "token"}
        return {
            "protocol": "MicrosoftGraph",
            "tls": {"caSecretRef": {"name": "ca"}},
            "auth": {"type": "MicrosoftOAuth2", "username": username, "oauth2": oauth2},
            "schedule": {"interval": NEVER, "timeout": "5s"},
            "afterDownload": {"action": "None"},
            "approval": {"maxMessages": 10_000},
            **changes,
        }

    def fill(self, *raw: bytes, mailbox: Mailbox | None = None, folder: str = "inbox", **options: Any) -> list[str]:
        """Delivers mails; returns their ids."""
        return [(mailbox or self.mailbox).deliver(one, folder, **options) for one in raw]


@contextmanager
def running(certificates: Certificates, *, chaotic: Random | None = None) -> Iterator[Tenant]:
    """A tenant, to which the real names lead in this process."""
    with (
        Authority(certificates) as authority,
        GraphFake(certificates=certificates, check=authority.look_up, chaotic=chaotic) as graph,
        resolve({**authority.addresses, ("graph.microsoft.com", 443): graph.port}),
    ):
        yield Tenant(certificates, authority, graph)
