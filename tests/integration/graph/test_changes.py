"""What happens to mails in the mailbox: by us after the download, and by people at any time."""

import hashlib
from typing import Any

import pytest

from tests.integration.fetcher.helpers import Fetcher, assignment, bodies, entries, log_steps
from tests.integration.graph.tenant import OFTEN, Tenant
from tests.servers import graph_faults, mailgen
from tests.servers.graph_faults import Fault
from tests.servers.redis import RedisServer, wait_until

OUTBOX = "mail:{helpdesk/support}:conn:support:outbox"
ACTIONS = pytest.mark.parametrize(
    ("action", "endpoint"), [("MarkSeen", "patch"), ("Delete", "move"), ("Move", "move")], ids=str
)


def start(fetcher: Fetcher, tenant: Tenant, action: str, **changes: Any) -> None:
    after = {"action": action} | ({"folder": "Done"} if action == "Move" else {})
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, afterDownload=after), **changes))


def acted(tenant: Tenant, ids: list[str], action: str) -> bool:
    if action == "MarkSeen":
        return all(tenant.mailbox.is_read(one) for one in ids)
    return {tenant.mailbox.where(one) for one in ids} == {"deleteditems" if action == "Delete" else "Done"}


@ACTIONS
@pytest.mark.parametrize(
    "fault",
    [graph_faults.reply_lost(), graph_faults.drop(), graph_faults.throttled("1"), graph_faults.unavailable(503)],
    ids=["lost", "drop", "throttled", "unavailable"],
)
def test_actions_are_carried_out_in_spite_of_faults(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str, endpoint: str, fault: Fault
) -> None:
    tenant.mailbox.add_folder("Done")
    ids = tenant.fill(*mailgen.mails(12))
    tenant.graph.fail(endpoint, fault, skip=4)
    start(fetcher, tenant, action)
    fetcher.caught_up(12)
    assert acted(tenant, ids, action)
    assert len(bodies(server.client())) == 12
    assert not server.client().exists(OUTBOX)


@ACTIONS
def test_a_mail_that_is_gone_needs_no_action(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str, endpoint: str
) -> None:
    tenant.mailbox.add_folder("Done")
    first, second = tenant.fill(*mailgen.mails(2))
    held = graph_faults.hold()
    tenant.graph.fail(endpoint, held, id=first)
    start(fetcher, tenant, action)
    tenant.graph.await_request(endpoint)
    tenant.mailbox.delete(first)
    tenant.mailbox.delete(second)
    held.release.set()
    fetcher.caught_up(2)
    assert not server.client().exists(OUTBOX)
    assert log_steps(server.client(), action)[0]["result"] == "Succeeded"


@pytest.mark.parametrize("action", ["Delete", "Move"])
def test_a_mail_that_a_person_filed_stays_where_it_is(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str
) -> None:
    """Its id opens it there too."""
    tenant.mailbox.add_folder("Done")
    first, second = tenant.fill(*mailgen.mails(2))
    held = graph_faults.hold()
    tenant.graph.fail("move", held, id=first)
    start(fetcher, tenant, action)
    tenant.graph.await_request("move")
    tenant.mailbox.move(second, "archive")
    held.release.set()
    fetcher.caught_up(2)
    assert tenant.mailbox.where(second) == "archive"
    assert acted(tenant, [first], action)


def test_what_was_to_be_done_with_a_mail_that_left_is_dropped(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant
) -> None:
    (one,) = tenant.fill(mailgen.make_mail(1))
    after = {"action": "Delete", "delay": "1h"}
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, afterDownload=after)))
    fetcher.wait_for(lambda r: r.actions.pending == 1)
    tenant.mailbox.move(one, "archive")
    fetcher.caught_up(1)
    assert [line["result"] for line in log_steps(server.client(), "Delete")] == ["Dropped"]


def forgotten(server: RedisServer, names: int) -> None:
    """Waits until so many names have left the ledger."""

    def count() -> int:
        return sum(int(line["detail"].split()[0]) for line in log_steps(server.client(), "pruned"))

    wait_until(lambda: count() == names, what=f"{names} names are forgotten")


@pytest.mark.parametrize("action", ["None", "MarkSeen", "Delete", "Move"])
def test_a_mail_that_left_and_came_back_is_new(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str
) -> None:
    """The changes never tell of it; the list does."""
    tenant.mailbox.add_folder("Done")
    one, other = tenant.fill(*mailgen.mails(2))
    start(fetcher, tenant, action)
    fetcher.caught_up(2)
    for n in range(1, 3):
        if action in ("None", "MarkSeen"):
            tenant.mailbox.move(one, "archive")
        # After Delete and Move the first time is that of both.
        forgotten(server, n if action in ("None", "MarkSeen") else n + 1)
        tenant.mailbox.mark(one, read=False)
        tenant.mailbox.move(one, "inbox")
        start(fetcher, tenant, action, requests={"fetch": f"look {n}"})
        fetcher.answered("fetch", f"look {n}")
        fetcher.caught_up(2 + n)
    found = entries(server.client())
    assert len({entry["id"] for entry in found}) == len(found) == 4
    assert bodies(server.client()).count(hashlib.sha256(tenant.mailbox.raw(one)).hexdigest()) == 3
    if action != "None":
        wait_until(lambda: acted(tenant, [one, other], action), what="it is done once more")


@pytest.mark.parametrize("action", ["None", "Delete"])
def test_a_folder_whose_mails_call_it_otherwise(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str
) -> None:
    inbox = tenant.mailbox.folder("inbox")
    inbox.called = inbox.id.replace("AAMk", "AQMk")
    start(fetcher, tenant, action)
    fetcher.wait_for(lambda r: r.phase == "Polling")
    ids = tenant.fill(*mailgen.mails(5))
    fetcher.caught_up(5)
    assert len(bodies(server.client())) == 5
    if action == "Delete":
        wait_until(lambda: acted(tenant, ids, action), what="all are deleted")
        return
    tenant.mailbox.move(ids[0], "archive")
    forgotten(server, 1)
    tenant.mailbox.move(ids[0], "inbox")
    start(fetcher, tenant, action, requests={"fetch": "look"})
    fetcher.caught_up(6)


def test_flags_make_nothing_new(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    start(fetcher, tenant, "MarkSeen")
    fetcher.caught_up(3)
    for one in ids:
        tenant.mailbox.mark(one, read=False)
    tenant.fill(mailgen.make_mail(9))
    fetcher.caught_up(4)
    assert tenant.graph.count("value") == 4
    assert not any(tenant.mailbox.is_read(one) for one in ids)


def test_a_mailbox_at_rest_costs_one_request_a_round(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(3))
    start(fetcher, tenant, "None")
    fetcher.caught_up(3)
    tenant.graph.await_request("delta_link", times=2)
    before = len(tenant.graph.requests)
    tenant.graph.await_request("delta_link", times=tenant.graph.count("delta_link") + 3)
    assert {seen.endpoint for seen in tenant.graph.requests[before:]} == {"delta_link"}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"afterDownload": {"action": "Move", "folder": "Posteingang"}}, "spec.afterDownload.folder 'Posteingang'"),
        ({"afterDownload": {"action": "Move", "folder": "inbox"}}, "spec.afterDownload.folder 'inbox' is the folder"),
        ({"folder": "deleteditems", "afterDownload": {"action": "Delete"}}, "is the folder of deleted mails"),
    ],
)
def test_mails_are_never_moved_to_where_they_are(
    fetcher: Fetcher, tenant: Tenant, spec: dict[str, Any], text: str
) -> None:
    tenant.fill(*mailgen.mails(2))
    fetcher.assign(assignment(tenant.spec(**spec)))
    assert text in fetcher.problem("InvalidConfiguration")
    assert tenant.graph.count("value") == tenant.graph.count("move") == 0
