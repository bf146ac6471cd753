"""Killed at any point, the fetcher goes on where it was: nothing is lost, nothing comes twice."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.helpers import KillableFetcher, assignment, bodies
from tests.integration.graph.tenant import OFTEN, Tenant
from tests.servers import graph_faults, mailgen
from tests.servers.redis import RedisServer, wait_until
from tests.servers.resolve import child_environment

COUNT = 250
OUTBOX = "mail:{helpdesk/support}:conn:support:outbox"


@pytest.fixture
def killable(
    tmp_path: Path, server: RedisServer, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KillableFetcher]:
    for name, value in child_environment(tenant.addresses).items():
        monkeypatch.setenv(name, value)
    made = KillableFetcher(tmp_path / "pod", server.url)
    tenant.give_secrets(made)
    with made:
        yield made


def complete(server: RedisServer, tenant: Tenant, ids: list[str]) -> None:
    client: Any = server.client()
    wait_until(lambda: len(bodies(client)) >= len(ids) and not client.exists(OUTBOX), what="all are there")
    wanted = sorted(hashlib.sha256(tenant.mailbox.raw(one)).hexdigest() for one in ids)
    assert sorted(bodies(client)) == wanted


@pytest.mark.parametrize(
    ("endpoint", "times"),
    [("folder", 2), ("list", 1), ("delta", 1), ("delta_next", 1), ("value", 1), ("value", 60), ("value", 201)],
)
def test_while_it_downloads(
    killable: KillableFetcher, server: RedisServer, tenant: Tenant, endpoint: str, times: int
) -> None:
    ids = tenant.fill(*mailgen.mails(COUNT))
    tenant.graph.fail(endpoint, graph_faults.hold(), skip=times - 1)
    killable.assign(assignment(tenant.spec(schedule=OFTEN)))
    tenant.graph.await_request(endpoint, times=times)
    killable.kill()
    tenant.graph.plan.clear()
    killable.start()
    ids += tenant.fill(mailgen.make_mail(COUNT))
    complete(server, tenant, ids)


@pytest.mark.parametrize("action", ["MarkSeen", "Delete"])
@pytest.mark.parametrize("fault", ["before", "after"])
def test_while_it_acts(killable: KillableFetcher, server: RedisServer, tenant: Tenant, action: str, fault: str) -> None:
    ids = tenant.fill(*mailgen.mails(20))
    endpoint = "patch" if action == "MarkSeen" else "move"
    tenant.graph.fail(endpoint, graph_faults.hold() if fault == "before" else graph_faults.stall(), skip=7)
    killable.assign(assignment(tenant.spec(schedule=OFTEN, afterDownload={"action": action})))
    tenant.graph.await_request(endpoint, times=8)
    killable.kill()
    tenant.graph.plan.clear()
    killable.start()
    complete(server, tenant, ids)
    if action == "MarkSeen":
        assert all(tenant.mailbox.is_read(one) for one in ids)
    else:
        assert {tenant.mailbox.where(one) for one in ids} == {"deleteditems"}


def test_while_mails_leave_and_come_back(killable: KillableFetcher, server: RedisServer, tenant: Tenant) -> None:
    """Killed after a name was forgotten and before the link was committed: the page is read again."""
    ids = tenant.fill(*mailgen.mails(20))
    killable.assign(assignment(tenant.spec(schedule=OFTEN)))
    complete(server, tenant, ids)
    tenant.mailbox.move(ids[3], "archive")
    new = tenant.fill(mailgen.make_mail(50))
    tenant.graph.fail("value", graph_faults.hold(), id=new[0])
    before = tenant.graph.count("value")
    tenant.graph.await_request("value", times=before + 1)
    killable.kill()
    tenant.graph.plan.clear()
    tenant.mailbox.move(ids[3], "inbox")
    killable.start()  # and lists the folder, as it does at every start
    complete(server, tenant, [*ids, *new, ids[3]])
