"""Reviewer 'once': loss, doubles, actions that are lost."""
import json
import time
from typing import Any

import pytest

from mailfetch_fetcher import names
from tests.integration.fetcher.helpers import Fetcher, assignment, bodies, entries, log_steps
from tests.integration.graph.tenant import OFTEN, Tenant
from tests.servers import graph_faults, mailgen
from tests.servers.graph_faults import Fault
from tests.servers.redis import RedisServer, wait_until
from urllib.parse import quote

OUTBOX = "mail:{helpdesk/support}:conn:support:outbox"


def run(fetcher: Fetcher, tenant: Tenant, *, requests: dict[str, str] | None = None, fields: Any = {}, **changes: Any) -> None:
    fetcher.assign(assignment(tenant.spec(**{"schedule": OFTEN, **changes}), requests=requests or {}, **fields))


def stop(fetcher: Fetcher) -> None:
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="nobody reads it")


def put_aside(fetcher: Fetcher, tenant: Tenant) -> str:
    x, *_ = tenant.fill(*mailgen.mails(3))
    tenant.graph.fail("value", graph_faults.conversion_failed(), id=x)
    run(fetcher, tenant)
    fetcher.wait_for(lambda r: r.quarantined == 1 and r.messages == 2 and r.phase == "Polling")
    return x


@pytest.mark.parametrize("fault", [graph_faults.not_found, graph_faults.no_mailbox], ids=["not_found", "no_mailbox"])
def test_1a_quarantine_retry_meets_one_404(fetcher: Fetcher, server: RedisServer, tenant: Tenant, fault: Any) -> None:
    x = put_aside(fetcher, tenant)
    tenant.graph.fail("message", fault(), id=x)  # once
    run(fetcher, tenant, requests={"refetch": "quarantined"})
    fetcher.answered("refetch", "quarantined")
    run(fetcher, tenant, requests={"refetch": "quarantined#2", "fetch": "look"})
    fetcher.answered("fetch", "look")
    report = fetcher.report()
    assert tenant.mailbox.where(x) == "inbox"
    assert (report.messages, report.quarantined) == (3, 0), (report.messages, report.quarantined)


def test_1b_quarantine_moved_out_link_expired_moved_back(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    x = put_aside(fetcher, tenant)
    stop(fetcher)
    tenant.mailbox.move(x, "archive")
    tenant.mailbox.expire_sync()
    run(fetcher, tenant, requests={"refetch": "quarantined"})
    fetcher.answered("refetch", "quarantined")
    fetcher.wait_for(lambda r: r.quarantined == 0)
    tenant.mailbox.move(x, "inbox")
    run(fetcher, tenant, requests={"refetch": "quarantined", "fetch": "look"})
    fetcher.answered("fetch", "look")
    assert fetcher.report().messages == 3, fetcher.report().messages


@pytest.mark.parametrize("action", ["MarkSeen", "Delete"])
def test_2a_action_lost_when_mailbox_flaps(fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    if action == "Delete":
        tenant.graph.fail("move", graph_faults.no_mailbox(), times=None)
    else:
        tenant.graph.fail("patch", graph_faults.no_mailbox(), times=None)
    tenant.graph.fail("message", graph_faults.no_mailbox(), times=None)
    run(fetcher, tenant, afterDownload={"action": action})
    fetcher.wait_for(lambda r: r.messages == 3)
    time.sleep(3)
    tenant.graph.plan.clear()
    time.sleep(3)
    done = [line["result"] for line in log_steps(server.client(), action)]
    where = [(tenant.mailbox.where(i), tenant.mailbox.is_read(i)) for i in ids]
    want = ("deleteditems", False) if action == "Delete" else ("inbox", True)
    assert where == [want] * 3, (where, done)


def test_2b_absent_when_mailbox_flaps(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(30))
    tenant.graph.fail("value", graph_faults.no_mailbox(), times=10, skip=5)
    tenant.graph.fail("message", graph_faults.no_mailbox(), times=10)
    run(fetcher, tenant)
    fetcher.wait_for(lambda r: r.messages >= 20 and r.phase == "Polling")
    assert not log_steps(server.client(), "absent"), len(log_steps(server.client(), "absent"))


def test_3a_gate_after_a_break_in_a_backlog_with_move(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.mailbox.add_folder("Done")
    ids = tenant.fill(*mailgen.mails(300))
    tenant.graph.fail("value", graph_faults.drop(), id=ids[150], times=4)
    run(fetcher, tenant, afterDownload={"action": "Move", "folder": "Done"}, approval={"maxMessages": 100})
    report = fetcher.wait_for(lambda r: r.gate or (r.messages == 300 and r.phase == "Polling"))
    assert not report.gate, (report.messages, report.gate_message)


def test_3b_gate_at_a_burst_with_move(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.mailbox.add_folder("Done")
    tenant.fill(*mailgen.mails(30))
    run(fetcher, tenant, afterDownload={"action": "Move", "folder": "Done"}, approval={"maxMessages": 100},
        schedule={"interval": "24h", "timeout": "5s"})
    fetcher.caught_up(30)
    tenant.fill(*mailgen.mails(101, start=100))
    run(fetcher, tenant, afterDownload={"action": "Move", "folder": "Done"}, approval={"maxMessages": 100},
        schedule={"interval": "24h", "timeout": "5s"}, requests={"fetch": "1"})
    report = fetcher.wait_for(lambda r: r.gate or (r.messages == 131 and r.phase == "Polling"))
    assert not report.gate, (report.messages, report.gate_message)


@pytest.mark.parametrize("arrive", [3, 12])
def test_4_listing_starved(fetcher: Fetcher, server: RedisServer, tenant: Tenant, arrive: int, monkeypatch: Any) -> None:
    """A mail came back; hours later (EVERY=1 s here) bursts larger than maxMessages keep the list from being read."""
    monkeypatch.setattr(names, "EVERY", 2.0)
    (x,) = tenant.fill(mailgen.make_mail(1))
    spec: Any = {"afterDownload": {"action": "Delete"}, "approval": {"maxMessages": 5},
                 "schedule": {"interval": "1s", "timeout": "5s"}}
    run(fetcher, tenant, **spec)
    fetcher.caught_up(1)
    wait_until(lambda: log_steps(server.client(), "pruned"), what="forgotten")
    stop(fetcher)
    tenant.mailbox.move(x, "inbox")
    run(fetcher, tenant, **spec)
    total, end, n = 1, time.monotonic() + 15, 100
    while time.monotonic() < end:
        tenant.fill(*mailgen.mails(arrive, start=n))
        n += arrive
        total += arrive
        fetcher.wait_for(lambda r: r.messages >= total)
        time.sleep(0.3)
        if [e["sha256"] for e in entries(server.client())].count(entries(server.client())[0]["sha256"]) == 2:
            return
    raise AssertionError(f"after {n - 100} others it did not come; where: {tenant.mailbox.where(x)}")


def test_5_ids_after_restore(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """None/MarkSeen: after a restore 'consumers may see an `id` again': it must be the same id."""
    client: Any = server.client()
    old = tenant.fill(*mailgen.mails(600))
    run(fetcher, tenant)
    state = fetcher.caught_up(600).state_id
    stop(fetcher)
    copy = {key: client.dump(key) for key in client.keys("*")}
    for one in old:
        tenant.mailbox.move(one, "archive")
    run(fetcher, tenant, fields={"state_id": state})
    wait_until(lambda: sum(int(l["detail"].split()[0]) for l in log_steps(client, "pruned")) == 600, what="forgotten")
    tenant.fill(*mailgen.mails(40, start=1000))
    fetcher.caught_up(640)
    first = {e["sha256"]: e["id"] for e in entries(client)[600:]}
    stop(fetcher)
    client.flushall()
    for key, value in copy.items():
        client.restore(key, 0, value)
    tenant.mailbox.expire_sync()
    run(fetcher, tenant, fields={"state_id": state})
    fetcher.caught_up(640)
    again = {e["sha256"]: e["id"] for e in entries(client)[600:]}
    assert first.keys() == again.keys()
    differ = sum(first[k] != again[k] for k in first)
    assert not differ, f"{differ} of {len(first)} have another id"


def page(value: list[Any], link: str) -> Fault:
    from tests.servers.graph_schema import Answer
    body = json.dumps({"value": value, "@odata.deltaLink": link}).encode()
    return Fault(answer=Answer(body=body, headers={"Preference-Applied": 'IdType="ImmutableId"'}))


def test_6_removed_and_told_in_one_page(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """Read, then filed, within one interval: the page has the update and the removal."""
    x, _ = tenant.fill(*mailgen.mails(2))
    run(fetcher, tenant)
    fetcher.caught_up(2)
    with tenant.graph.lock:
        tenant.mailbox.move(x, "archive")
        token = next(t for t, v in reversed(tenant.mailbox.tokens.items()) if v.kind == "delta")
        # what the server would answer, with the update before it; the link that follows is of now
        import tests.servers.graph_delta as gd
        mailbox, last = tenant.mailbox, tenant.mailbox.tokens[token]
        import dataclasses
        fresh = dataclasses.replace(last, round=dataclasses.replace(last.round, until=mailbox.changes))
        mailbox.tokens["fresh"] = fresh
        link = f"https://graph.microsoft.com/v1.0/me/mailFolders('{mailbox.folder('inbox').id}')/messages/delta?$deltatoken=fresh"
        tenant.graph.fail("delta_link", page([
            {"id": x, "isRead": True}, {"id": x, "@removed": {"reason": "deleted"}}], link))
    before = tenant.graph.count("delta_link")
    tenant.graph.await_request("delta_link", times=before + 4)
    tenant.mailbox.move(x, "inbox")
    run(fetcher, tenant, requests={"fetch": "look"})
    fetcher.answered("fetch", "look")
    time.sleep(1)
    assert fetcher.report().messages == 3, fetcher.report().messages


def test_8_an_old_word_of_a_young_mail(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """Downloaded, moved by us, forgotten; then the word of its arrival is told again as it was told first."""
    import dataclasses, datetime
    tenant.mailbox.add_folder("Done")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    x, _ = tenant.fill(*mailgen.mails(2), received=now)
    inbox = tenant.mailbox.folder("inbox").id
    run(fetcher, tenant, afterDownload={"action": "Move", "folder": "Done"})
    state = fetcher.caught_up(2).state_id
    wait_until(lambda: sum(int(l["detail"].split()[0]) for l in log_steps(server.client(), "pruned")) == 2, what="forgotten")
    stop(fetcher)
    with tenant.graph.lock:
        mailbox = tenant.mailbox
        token = next(t for t, v in reversed(mailbox.tokens.items()) if v.kind == "delta")
        last = mailbox.tokens[token]
        mailbox.tokens["fresh"] = dataclasses.replace(last, round=dataclasses.replace(last.round, until=mailbox.changes))
        link = f"https://graph.microsoft.com/v1.0/me/mailFolders('{inbox}')/messages/delta?$deltatoken=fresh"
        tenant.graph.fail("delta_link", page([
            {"id": x, "isRead": False, "receivedDateTime": now, "createdDateTime": now, "parentFolderId": inbox}], link))
    before = tenant.graph.count("delta_link")
    run(fetcher, tenant, afterDownload={"action": "Move", "folder": "Done"}, fields={"state_id": state})
    tenant.graph.await_request("delta_link", times=before + 4)
    assert fetcher.report().messages == 2, (fetcher.report().messages, tenant.mailbox.where(x))


def test_9_baseline_link_expires(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(230))
    tenant.mailbox.fail("delta_next", graph_faults.sync_lost())
    run(fetcher, tenant, backlog={"startFrom": "Now"})
    report = fetcher.wait_for(lambda r: r.problem or r.phase == "Polling")
    assert not report.problem or "internal error" not in report.problem.message, report.problem


@pytest.mark.parametrize("largest", [1000, 5])
def test_10_guard_of_a_large_folder(fetcher: Fetcher, server: RedisServer, tenant: Tenant, largest: int) -> None:
    """New names for all mails, the link still good; `largest` 5: 300 mails are more than what is read ahead."""
    tenant.mailbox.largest_page = largest
    tenant.fill(*mailgen.mails(300))
    spec: Any = {"approval": {"maxMessages": 20}}
    run(fetcher, tenant, **spec)
    state = fetcher.caught_up(300).state_id
    stop(fetcher)
    mailbox = tenant.mailbox
    with tenant.graph.lock:
        for mail in list(mailbox.mails.values()):
            mailbox.delete(mail.id)
            mailbox.deliver(mail.raw, received=mail.received)
    run(fetcher, tenant, fields={"state_id": state}, **spec)
    report = fetcher.wait_for(lambda r: r.gate or (r.messages > 300 and r.phase == "Polling"))
    assert report.gate == "MailboxReset", (report.messages, report.gate)


def test_11_refetch_of_a_mail_that_just_came(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(2))
    run(fetcher, tenant)
    fetcher.caught_up(2)
    held = graph_faults.hold()
    tenant.graph.fail("list", held)
    lists = tenant.graph.count("list")
    run(fetcher, tenant, requests={"refetch": "since:2020-01-01"})
    tenant.graph.await_request("list", times=lists + 1)
    (x,) = tenant.fill(mailgen.make_mail(77))
    held.release.set()
    fetcher.answered("refetch", "since:2020-01-01")
    time.sleep(1.5)
    import hashlib
    sha = hashlib.sha256(tenant.mailbox.raw(x)).hexdigest()
    found = [e["id"] for e in entries(server.client()) if e["sha256"] == sha]
    assert len(found) == 1, found


def test_7_left_while_it_was_being_committed(fetcher: Fetcher, server: RedisServer, tenant: Tenant, monkeypatch: Any) -> None:
    """Page 1 tells of a young mail, page 2 that it left; its commit is slow."""
    import dataclasses, datetime
    from mailfetch_fetcher.store.mailbox import Mailbox
    from tests.servers.graph_schema import Answer
    was = Mailbox.commit
    def slow(self: Any, batch: Any) -> None:
        if batch.mails:
            time.sleep(1)
        was(self, batch)
    monkeypatch.setattr(Mailbox, "commit", slow)
    tenant.fill(mailgen.make_mail(1))
    run(fetcher, tenant)
    fetcher.caught_up(1)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    mailbox = tenant.mailbox
    inbox = mailbox.folder("inbox").id
    base = f"https://graph.microsoft.com/v1.0/me/mailFolders('{inbox}')/messages/delta"
    with tenant.graph.lock:
        (x,) = tenant.fill(mailgen.make_mail(2), received=now)
        mailbox.move(x, "archive")
        token = next(t for t, v in reversed(mailbox.tokens.items()) if v.kind == "delta")
        last = mailbox.tokens[token]
        mailbox.tokens["fresh"] = dataclasses.replace(last, round=dataclasses.replace(last.round, until=mailbox.changes))
        first = [{"id": x, "isRead": False, "receivedDateTime": now, "createdDateTime": now, "parentFolderId": inbox}]
        body = json.dumps({"value": first, "@odata.nextLink": base + "?$skiptoken=two"}).encode()
        tenant.graph.fail("delta_link", Fault(answer=Answer(body=body, headers={"Preference-Applied": 'IdType="ImmutableId"'})))
        tenant.graph.fail("delta_next", page([{"id": x, "@removed": {"reason": "deleted"}}], base + "?$deltatoken=fresh"))
    fetcher.caught_up(2)
    time.sleep(1)
    mailbox.move(x, "inbox")
    run(fetcher, tenant, requests={"fetch": "look"})
    fetcher.answered("fetch", "look")
    time.sleep(1.5)
    assert fetcher.report().messages == 3, fetcher.report().messages


def test_2c_absent_when_mailbox_flaps_in_a_backlog(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """More than maxMessages, as an acknowledged backlog is: the list that would find them is put off by an hour."""
    tenant.fill(*mailgen.mails(30))
    tenant.graph.fail("value", graph_faults.no_mailbox(), times=10, skip=5)
    tenant.graph.fail("message", graph_faults.no_mailbox(), times=10)
    run(fetcher, tenant, approval={"maxMessages": 5})
    fetcher.wait_for(lambda r: r.messages >= 20 and r.phase == "Polling")
    time.sleep(10)
    assert fetcher.report().messages == 30, (fetcher.report().messages, fetcher.report().phase)
