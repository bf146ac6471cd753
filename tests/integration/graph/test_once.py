"""Each mail once, whatever Graph says of it: old words, one 404, links that expire, mailboxes that come and go."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from mailfetch_fetcher import committer, names
from mailfetch_fetcher.sources import graph_changes
from tests.integration.fetcher.helpers import NEVER, Fetcher, assignment, bodies, log_steps
from tests.integration.graph.telling import left, tell, there
from tests.integration.graph.tenant import OFTEN, Tenant
from tests.servers import graph_faults, mailgen
from tests.servers.graph_faults import Fault
from tests.servers.redis import RedisServer, wait_until

FEW = {"maxMessages": 5}
MOVE = {"action": "Move", "folder": "Done"}


def run(
    fetcher: Fetcher, tenant: Tenant, *, requests: dict[str, str] | None = None, state_id: str = "", **changes: Any
) -> None:
    spec = tenant.spec(**{"schedule": OFTEN, **changes})
    fetcher.assign(assignment(spec, requests=requests or {}, state_id=state_id))


def stop(fetcher: Fetcher) -> None:
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="nobody reads it")


def times(server: RedisServer, tenant: Tenant, id: str) -> int:
    """How often a mail is in the stream."""
    return bodies(server.client()).count(hashlib.sha256(tenant.mailbox.raw(id)).hexdigest())


def forgotten(server: RedisServer) -> int:
    """Names that left the ledger."""
    return sum(int(line["detail"].split()[0]) for line in log_steps(server.client(), "pruned"))


def looked_again(fetcher: Fetcher, tenant: Tenant, **changes: Any) -> None:
    """Compares the folder with the ledger."""
    run(fetcher, tenant, requests={"fetch": "look"}, **changes)
    fetcher.answered("fetch", "look")


# ---- quarantine ----


@pytest.fixture
def put_aside(fetcher: Fetcher, tenant: Tenant) -> str:
    """A mail in quarantine; two others were downloaded."""
    first, *_ = tenant.fill(*mailgen.mails(3))
    tenant.graph.fail("value", graph_faults.conversion_failed(), id=first)
    run(fetcher, tenant)
    fetcher.wait_for(lambda r: r.quarantined == 1 and r.messages == 2 and r.phase == "Polling")
    return first


@pytest.mark.parametrize("fault", [graph_faults.not_found(), graph_faults.no_mailbox()], ids=["mail", "mailbox"])
def test_a_mail_in_quarantine_that_is_not_found_once(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, put_aside: str, fault: Fault
) -> None:
    tenant.graph.fail("message", fault, id=put_aside)
    run(fetcher, tenant, requests={"refetch": "quarantined"})
    fetcher.answered("refetch", "quarantined")
    run(fetcher, tenant, requests={"refetch": "quarantined", "fetch": "look"})
    fetcher.answered("fetch", "look")
    assert times(server, tenant, put_aside) == 1
    fetcher.wait_for(lambda r: r.messages == 3 and r.quarantined == 0)


def test_a_mail_in_quarantine_that_leaves_and_comes_back(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, put_aside: str
) -> None:
    """The link expires meanwhile, so that no change tells of it."""
    stop(fetcher)
    tenant.mailbox.move(put_aside, "archive")
    tenant.mailbox.expire_sync()
    run(fetcher, tenant, requests={"refetch": "quarantined"})
    fetcher.answered("refetch", "quarantined")
    fetcher.wait_for(lambda r: r.quarantined == 0)
    tenant.mailbox.move(put_aside, "inbox")
    run(fetcher, tenant, requests={"refetch": "quarantined", "fetch": "look"})
    fetcher.answered("fetch", "look")
    assert times(server, tenant, put_aside) == 1


# ---- a mailbox that comes and goes ----


@pytest.mark.parametrize(
    "fault",
    [graph_faults.no_mailbox(), graph_faults.html(404), graph_faults.refuse(404, "UnknownError")],
    ids=["mailbox", "page", "unknown"],
)
@pytest.mark.parametrize(("action", "endpoint"), [("MarkSeen", "patch"), ("Delete", "move")])
def test_an_action_waits_for_the_mailbox(
    fetcher: Fetcher, tenant: Tenant, action: str, endpoint: str, fault: Fault
) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    for where in (endpoint, "message"):
        tenant.graph.fail(where, fault, times=None)
    run(fetcher, tenant, afterDownload={"action": action})
    fetcher.wait_for(lambda r: r.actions.reason == "Failed" and r.actions.pending == 3)
    tenant.graph.plan.clear()
    fetcher.caught_up(3)
    found = {(tenant.mailbox.where(one), tenant.mailbox.is_read(one)) for one in ids}
    assert found == {("inbox", True) if action == "MarkSeen" else ("deleteditems", False)}


def test_mails_are_not_gone_because_the_mailbox_is(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(12))
    tenant.graph.fail("value", graph_faults.no_mailbox(), times=3, skip=5)
    tenant.graph.fail("message", graph_faults.no_mailbox(), times=3)
    run(fetcher, tenant, approval=FEW)
    fetcher.caught_up(12)
    assert not log_steps(server.client(), "absent")


# ---- a mailbox that looks as if it were migrated ----


def test_no_gate_when_a_backlog_is_moved_and_breaks(
    fetcher: Fetcher, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "MAX_MAILS", 10)
    tenant.mailbox.add_folder("Done")
    ids = tenant.fill(*mailgen.mails(60))
    tenant.graph.fail("value", graph_faults.drop(), id=ids[30], times=2)
    run(fetcher, tenant, afterDownload=MOVE, approval=FEW)
    report = fetcher.wait_for(lambda r: r.gate or (r.messages == 60 and r.phase == "Polling"))
    assert not report.gate, report.gate_message


def test_no_gate_at_many_mails_at_once_when_the_others_were_moved(fetcher: Fetcher, tenant: Tenant) -> None:
    spec: dict[str, Any] = {"afterDownload": MOVE, "approval": FEW, "schedule": {"interval": NEVER, "timeout": "5s"}}
    tenant.mailbox.add_folder("Done")
    tenant.fill(*mailgen.mails(12))
    run(fetcher, tenant, **spec)
    fetcher.caught_up(12)
    tenant.fill(*mailgen.mails(12, start=100))
    run(fetcher, tenant, requests={"fetch": "1"}, **spec)
    report = fetcher.wait_for(lambda r: r.gate or (r.messages == 24 and r.phase == "Polling"))
    assert not report.gate, report.gate_message


@pytest.mark.parametrize("largest", [1000, 1])
def test_a_gate_when_all_mails_have_new_names(fetcher: Fetcher, tenant: Tenant, largest: int) -> None:
    """`largest` 1: there are more pages than are read ahead, and those that are say too little."""
    tenant.mailbox.largest_page = largest
    tenant.fill(*mailgen.mails(2 * graph_changes.KEPT))
    run(fetcher, tenant, approval=FEW)
    state = fetcher.caught_up(2 * graph_changes.KEPT).state_id
    stop(fetcher)
    with tenant.graph.lock:
        for mail in list(tenant.mailbox.mails.values()):
            tenant.mailbox.delete(mail.id)
            tenant.mailbox.deliver(mail.raw, received=mail.received)
    run(fetcher, tenant, approval=FEW, state_id=state)
    report = fetcher.wait_for(lambda r: r.gate or r.messages > 2 * graph_changes.KEPT)
    assert report.gate == "MailboxReset"


def test_many_mails_at_once_do_not_put_off_the_list(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail came back; each round looks like a flood, which is compared with the list as well."""
    monkeypatch.setattr(names, "EVERY", 1.0)
    spec: dict[str, Any] = {
        "afterDownload": {"action": "Delete"},
        "approval": FEW,
        "schedule": {"interval": NEVER, "timeout": "5s"},
    }
    (one,) = tenant.fill(mailgen.make_mail(1))
    run(fetcher, tenant, **spec)
    fetcher.caught_up(1)
    run(fetcher, tenant, requests={"fetch": "look"}, **spec)
    wait_until(lambda: forgotten(server) == 1, what="its name is forgotten")
    tenant.mailbox.move(one, "inbox")
    for n in range(1, 41):
        tenant.fill(*mailgen.mails(12, start=100 * n))
        run(fetcher, tenant, requests={"fetch": "look", "resume-actions": str(n)}, **spec)
        wait_until(lambda: set(tenant.mailbox.ids()) <= {one}, what="all are downloaded and deleted")
        if times(server, tenant, one) == 2:
            return
    raise AssertionError("it was not looked for")


# ---- what pages tell ----


@pytest.mark.parametrize("last", ["there", "left"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_page_tells_that_a_mail_is_there_and_that_it_left(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, last: str, *, gone: bool
) -> None:
    """As of one that was read and then filed between two rounds; the order within a page means nothing."""
    one, _ = tenant.fill(*mailgen.mails(2))
    run(fetcher, tenant)
    fetcher.caught_up(2)
    with tenant.graph.lock:
        if gone:
            tenant.mailbox.move(one, "archive")
        words = [left(one), {"id": one, "isRead": True}]
        tell(tenant.graph, words if last == "there" else words[::-1])
        before = tenant.graph.count("delta_link")
    tenant.graph.await_request("delta_link", times=before + 3)
    assert forgotten(server) == gone
    if gone:
        tenant.mailbox.move(one, "inbox")
    looked_again(fetcher, tenant)
    assert times(server, tenant, one) == (2 if gone else 1)


def test_a_page_tells_of_a_mail_that_came_and_left(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    inbox = tenant.mailbox.folder("inbox").id
    tenant.fill(mailgen.make_mail(1))
    run(fetcher, tenant)
    fetcher.caught_up(1)
    with tenant.graph.lock:
        (one,) = tenant.fill(mailgen.make_mail(2))
        tenant.mailbox.move(one, "archive")
        tell(tenant.graph, [there(one, folder=inbox, received=now), left(one)])
    wait_until(lambda: bool(log_steps(server.client(), "absent")), what="it was looked for")
    tenant.mailbox.move(one, "inbox")
    looked_again(fetcher, tenant)
    assert times(server, tenant, one) == 1


def test_the_word_that_a_mail_came_is_told_again(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """It was moved by us, and is forgotten; it came a moment ago, so that nothing seems to be wrong with this."""
    tenant.mailbox.add_folder("Done")
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    one, _ = tenant.fill(*mailgen.mails(2), received=now)
    run(fetcher, tenant, afterDownload=MOVE)
    state = fetcher.caught_up(2).state_id
    wait_until(lambda: forgotten(server) == 2, what="both are forgotten")
    stop(fetcher)
    with tenant.graph.lock:
        tell(tenant.graph, [there(one, folder=tenant.mailbox.folder("inbox").id, received=now)])
        before = tenant.graph.count("delta_link")
    run(fetcher, tenant, afterDownload=MOVE, state_id=state)
    tenant.graph.await_request("delta_link", times=before + 3)
    assert times(server, tenant, one) == 1
    assert [line["ref"].partition("/")[0] for line in log_steps(server.client(), "absent")] == [one]


def test_a_link_that_expires_within_a_baseline(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.mailbox.largest_page = 10
    tenant.fill(*mailgen.mails(30))
    tenant.mailbox.fail("delta_next", graph_faults.sync_lost())
    run(fetcher, tenant, backlog={"startFrom": "Now"})
    fetcher.wait_for(lambda r: r.phase == "Polling")
    report = fetcher.report()
    assert report
    assert report.last_problem
    assert "it is read anew" in report.last_problem.message
    (new,) = tenant.fill(mailgen.make_mail(99))
    fetcher.caught_up(1)
    assert times(server, tenant, new) == 1
    assert log_steps(server.client(), "baseline")[0]["detail"].endswith("; 30 old mails noted")


# ---- requests ----


def test_a_mail_that_comes_while_others_are_asked_for_again(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant
) -> None:
    spec: dict[str, Any] = {"schedule": {"interval": NEVER, "timeout": "5s"}}
    old = tenant.fill(*mailgen.mails(2))
    run(fetcher, tenant, **spec)
    fetcher.caught_up(2)
    held = graph_faults.hold()
    tenant.graph.fail("list", held)
    before = tenant.graph.count("list")
    run(fetcher, tenant, requests={"refetch": "since:2020-01-01"}, **spec)
    tenant.graph.await_request("list", times=before + 1)
    (new,) = tenant.fill(mailgen.make_mail(77))
    held.release.set()
    fetcher.answered("refetch", "since:2020-01-01")
    run(fetcher, tenant, requests={"refetch": "since:2020-01-01", "fetch": "look"}, **spec)
    fetcher.answered("fetch", "look")
    assert [times(server, tenant, one) for one in (*old, new)] == [2, 2, 1]
