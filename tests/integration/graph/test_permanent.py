"""Deleting for good: only where the spec asks for it now and asked for it then, and never something else instead."""

from typing import Any

import pytest

from tests.integration.fetcher.helpers import Fetcher, assignment, bodies, log_steps
from tests.integration.graph.tenant import OFTEN, Tenant
from tests.servers import graph_faults, mailgen
from tests.servers.graph_faults import Fault
from tests.servers.redis import RedisServer, wait_until

DELETE: dict[str, Any] = {"action": "Delete"}
PERMANENTLY: dict[str, Any] = {"action": "Delete", "permanent": True}


def start(fetcher: Fetcher, tenant: Tenant, after: dict[str, Any] = PERMANENTLY, **changes: Any) -> None:
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, afterDownload=after, **changes)))


def places(tenant: Tenant, ids: list[str]) -> list[str]:
    return [tenant.mailbox.where(one) for one in ids]


@pytest.mark.parametrize("flow", ["Delegated", "Application"])
def test_nothing_is_left_in_deleted_items(fetcher: Fetcher, server: RedisServer, tenant: Tenant, flow: str) -> None:
    ids = tenant.fill(*mailgen.mails(12))
    start(fetcher, tenant, flow=flow)
    fetcher.caught_up(12)
    assert places(tenant, ids) == [""] * 12
    assert len(bodies(server.client())) == 12
    assert tenant.graph.count("permanent_delete") == 12
    assert tenant.graph.count("move") == tenant.graph.count("delete") == 0


@pytest.mark.parametrize("after", [DELETE, {**DELETE, "permanent": False}], ids=["absent", "false"])
def test_deleted_items_is_where_mails_go_else(fetcher: Fetcher, tenant: Tenant, after: dict[str, Any]) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    start(fetcher, tenant, after)
    fetcher.caught_up(3)
    assert places(tenant, ids) == ["deleteditems"] * 3
    assert tenant.graph.count("permanent_delete") == 0


@pytest.mark.parametrize(
    "fault",
    [graph_faults.reply_lost(), graph_faults.drop(), graph_faults.throttled("1"), graph_faults.unavailable(503)],
    ids=["lost", "drop", "throttled", "unavailable"],
)
def test_it_is_done_in_spite_of_faults(fetcher: Fetcher, server: RedisServer, tenant: Tenant, fault: Fault) -> None:
    ids = tenant.fill(*mailgen.mails(12))
    tenant.graph.fail("permanent_delete", fault, skip=4)
    start(fetcher, tenant)
    fetcher.caught_up(12)
    assert places(tenant, ids) == [""] * 12
    assert len(bodies(server.client())) == 12


def test_only_what_is_still_in_the_folder(fetcher: Fetcher, tenant: Tenant) -> None:
    first, deleted, filed = tenant.fill(*mailgen.mails(3))
    held = graph_faults.hold()
    tenant.graph.fail("permanent_delete", held, id=first)
    start(fetcher, tenant)
    tenant.graph.await_request("permanent_delete")
    for one in (first, deleted):
        tenant.mailbox.delete(one)
    tenant.mailbox.move(filed, "archive")
    held.release.set()
    fetcher.caught_up(3)
    assert places(tenant, [first, deleted, filed]) == ["", "", "archive"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "BadRequest"), (404, "ErrorItemNotFound"), (405, "Request_BadRequest"), (501, "NotImplemented")],
)
def test_a_service_that_cannot_do_it(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, status: int, code: str
) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    tenant.graph.fail("permanent_delete", graph_faults.refuse(status, code), times=None)
    start(fetcher, tenant)
    report = fetcher.wait_for(lambda r: r.actions.reason == "Failed" and r.actions.pending == 3)
    assert f"HTTP {status} {code}" in report.actions.message
    assert "leave out spec.afterDownload.permanent" in report.actions.message
    assert places(tenant, ids) == ["inbox"] * 3
    start(fetcher, tenant, DELETE)
    fetcher.caught_up(3)
    assert places(tenant, ids) == ["inbox"] * 3
    assert tenant.graph.count("move") == tenant.graph.count("delete") == 0


def test_a_mailbox_that_is_away_says_so(fetcher: Fetcher, tenant: Tenant) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    tenant.graph.fail("permanent_delete", graph_faults.no_mailbox(), times=None)
    start(fetcher, tenant)
    report = fetcher.wait_for(lambda r: r.actions.reason == "Failed" and r.actions.pending == 3)
    assert "spec.afterDownload.permanent" not in report.actions.message
    tenant.graph.plan.clear()
    fetcher.caught_up(3)
    assert places(tenant, ids) == [""] * 3


@pytest.mark.parametrize(("before", "now"), [(DELETE, PERMANENTLY), (PERMANENTLY, DELETE)], ids=["to", "from"])
def test_a_change_takes_what_was_waiting_out(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, before: dict[str, Any], now: dict[str, Any]
) -> None:
    old = tenant.fill(*mailgen.mails(2))
    start(fetcher, tenant, {**before, "delay": "1h"})
    fetcher.wait_for(lambda r: r.actions.pending == 2)
    start(fetcher, tenant, now)
    wait_until(lambda: len(log_steps(server.client(), "Delete")) == 2, what="both are dropped")
    new = tenant.fill(mailgen.make_mail(9))
    wait_until(lambda: len(log_steps(server.client(), "Delete")) == 3, what="the new one is deleted")
    assert places(tenant, new) == ["" if now is PERMANENTLY else "deleteditems"]
    assert places(tenant, old) == ["inbox"] * 2
    results = [line["result"] for line in log_steps(server.client(), "Delete")]
    assert results == ["Dropped", "Dropped", "Succeeded"]


def test_deleted_items_itself_can_be_emptied(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    ids = tenant.fill(*mailgen.mails(3), folder="deleteditems")
    start(fetcher, tenant, folder="deleteditems")
    fetcher.caught_up(3)
    assert places(tenant, ids) == [""] * 3
    assert len(bodies(server.client())) == 3
