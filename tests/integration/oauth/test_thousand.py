"""A thousand connections on one client Secret: a token for each mailbox and life of a token, and none for a poll.

A thousand sessions and the servers for them are more than one process of a test can carry: the fetcher itself runs a
few of them, and all thousand log in and look for news by the sources that its sessions use, with the tokens of one
process.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from mailfetch_fetcher.auth.tokens import Tokens
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.connect import make_source
from mailfetch_fetcher.contract.assignment import Assignment
from tests.integration.fetcher.helpers import NEVER, Fetcher, Mounts, assignment, fetcher_on
from tests.integration.graph.tenant import GRAPH, Tenant, running
from tests.integration.oauth.helpers import Nowhere
from tests.servers import mailgen
from tests.servers.certs import Certificates
from tests.servers.redis import RedisServer

LIFE = timedelta(seconds=3600)


class Ahead(Clock):
    """A clock that can be set forward."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
def tenant(certificates: Certificates) -> Iterator[Tenant]:
    with running(certificates) as made:
        yield made


def connections(tenant: Tenant, mounts: Mounts, number: int, *, flow: str) -> list[Assignment]:
    """Each to a mailbox of its own with one mail; all name the same client Secret."""
    tenant.give_secrets(mounts)
    made = []
    for name in (f"box{n}" for n in range(number)):
        address = f"{name}@contoso.com"
        tenant.authority.account(address)
        tenant.fill(mailgen.make_mail(1), mailbox=tenant.graph.mailbox(address))
        spec = tenant.spec(flow=flow, username=address, schedule={"interval": NEVER, "timeout": "1m"})
        if flow == "Delegated":
            token = tenant.authority.authorize("app", address, f"{GRAPH}/Mail.Read")
            mounts.write(f"secrets/{name}/refresh-token", token)
            spec["auth"]["oauth2"]["tokenSecretRef"] = {"name": name}
        made.append(assignment(spec, name=name))
    return made


@pytest.mark.parametrize(
    # Where one token serves all, each of the thousand looks is a further one.
    ("flow", "needed", "looks"),
    [("Delegated", 1000, 2), ("Application", 1, 1)],
)
def test_a_thousand_mailboxes(tenant: Tenant, mounts: Mounts, flow: str, needed: int, looks: int) -> None:
    made = connections(tenant, mounts, 1000, flow=flow)
    tokens, kept = Tokens(clock := Ahead()), {a.name: Nowhere() for a in made}

    def look(a: Assignment) -> int:
        """A login and a look for news; how many mails there are."""
        source = make_source(a, secrets=mounts.directory / "secrets", tokens=tokens, rotated=kept[a.name])
        try:
            source.open()
            return source.snapshot("", known=lambda names: [False] * len(names)).new
        finally:
            source.close()

    with ThreadPoolExecutor(8) as threads:
        for life in (1, 2):
            for _ in range(looks):
                assert list(threads.map(look, made)) == [1] * len(made)
                assert tenant.authority.count() == life * needed
            clock.ahead += LIFE
    asked = Counter(r.account for r in tenant.authority.requests if r.endpoint == "token")
    assert asked == ({a.spec.auth.username: 2 for a in made} if flow == "Delegated" else {"": 2})


@pytest.mark.parametrize(("flow", "needed"), [("Delegated", 20), ("Application", 1)])
def test_sessions_of_a_fetcher(tenant: Tenant, server: RedisServer, tmp_path: Path, flow: str, needed: int) -> None:
    with fetcher_on(tmp_path / "pod", server.url) as fetcher:
        clock = fetcher.env.tokens.clock = Ahead()
        made = connections(tenant, fetcher, 20, flow=flow)
        fetcher.assign(*made)
        for a in made:
            fetcher.caught_up(1, a.name)
        assert tenant.authority.count() == needed
        poll(fetcher, made, "1")
        poll(fetcher, made, "2")
        assert tenant.authority.count() == needed
        clock.ahead += LIFE
        poll(fetcher, made, "3")
        poll(fetcher, made, "4")
        assert tenant.authority.count() == 2 * needed


def poll(fetcher: Fetcher, made: list[Assignment], value: str) -> None:
    """Every one of them looks for news."""
    fetcher.assign(*(msgspec.structs.replace(a, requests={"fetch": value}) for a in made))
    for a in made:
        fetcher.answered("fetch", value, a.name)
