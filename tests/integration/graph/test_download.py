"""Over Microsoft Graph every mail comes once, byte for byte, whatever the server does."""

import hashlib
from pathlib import Path
from random import Random

import pytest

from tests.integration.fetcher.helpers import Fetcher, assignment, bodies, entries, fetcher_on
from tests.integration.graph.tenant import OFTEN, Tenant, running
from tests.servers import graph_faults, mailgen
from tests.servers.certs import Certificates
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_things import Loss
from tests.servers.redis import RedisServer, wait_until

PAGES = 250
"""Mails that fill three pages of changes."""


def stored(mailbox: Mailbox, *ids: str) -> list[str]:
    """SHA-256 of mails, or of all in the inbox, sorted."""
    return sorted(hashlib.sha256(mailbox.raw(one)).hexdigest() for one in ids or mailbox.ids())


@pytest.mark.parametrize("action", ["None", "MarkSeen", "Delete", "Move"])
def test_mails_come_once_whatever_happens_to_them(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, action: str
) -> None:
    tenant.mailbox.add_folder("Done")
    odd = (mailgen.large_mail(2_000_000), b"no header at all\r\n", b"A: b\r\n\r\n.\r\n..\r\n", b"")
    ids = tenant.fill(*mailgen.mails(150), *odd)
    after = {"action": action} | ({"folder": "Done"} if action == "Move" else {})
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, afterDownload=after)))
    report = fetcher.caught_up(154)
    assert (report.phase, report.problem, report.lag) == ("Polling", None, 0)
    for n in range(154, 157):
        ids += tenant.fill(mailgen.make_mail(n))
        fetcher.caught_up(n + 1)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)
    places = {"Delete": "deleteditems", "Move": "Done"}
    where, read = {places.get(action, "inbox")}, {action == "MarkSeen"}
    wait_until(lambda: {tenant.mailbox.where(one) for one in ids} == where, what="all are where they belong")
    wait_until(lambda: {tenant.mailbox.is_read(one) for one in ids} == read, what="all are marked")


def test_entries_tell_of_the_mail(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(b"Subject: a\r\n\r\nb\r\n", read=True, received="2026-03-01T08:15:00Z")
    fetcher.assign(assignment(tenant.spec()))
    fetcher.caught_up(1)
    (entry,) = entries(server.client())
    assert (entry["subject"], entry["received"], entry["flags"], entry["uid"]) == (
        *("a", "2026-03-01T08:15:00Z", "\\Seen", "0"),
    )


@pytest.mark.parametrize("seed", range(4))
def test_untidy_changes(tmp_path: Path, server: RedisServer, certificates: Certificates, seed: int) -> None:
    """Pages in any order, empty ones, the same mail twice, things told again; mails leave and come back meanwhile."""
    chance = Random(seed)
    with running(certificates, chaotic=Random(seed)) as tenant, fetcher_on(tmp_path / "pod", server.url) as fetcher:
        tenant.give_secrets(fetcher)
        mailbox = tenant.mailbox
        kept = tenant.fill(*mailgen.mails(120))
        fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
        fetcher.caught_up(120)
        count = 120
        for step in range(10):
            left = chance.sample(kept[:120], 3)
            for one in left:
                mailbox.move(one, "archive")
                mailbox.mark(one, read=bool(step % 2))
            wait_for_round(tenant)
            kept += tenant.fill(mailgen.make_mail(200 + step))
            mailbox.mark(kept[-2], read=True)
            count += 1
            fetcher.caught_up(count)
            for one in left:
                mailbox.move(one, "inbox")
            request(fetcher, tenant, f"look {step}")
            count += len(left)
            fetcher.caught_up(count)
        assert len(bodies(server.client())) == len({entry["id"] for entry in entries(server.client())}) == count
        assert sorted(set(bodies(server.client()))) == sorted(set(stored(mailbox)))


def wait_for_round(tenant: Tenant) -> None:
    """Until two more rounds have begun: the first of them may have looked before."""
    before = tenant.graph.count("delta_link")
    wait_until(lambda: tenant.graph.count("delta_link") > before + 2, what="another round")


def request(fetcher: Fetcher, tenant: Tenant, value: str) -> None:
    """The request to look at once, as the operator hands it on."""
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN), requests={"fetch": value}))
    fetcher.answered("fetch", value)


@pytest.mark.parametrize("how", ["gone", "location", "invalid", "missing"])
def test_expired_links(fetcher: Fetcher, server: RedisServer, tenant: Tenant, how: Loss) -> None:
    """Everything is gone through from the beginning, and nothing comes twice."""
    ids = tenant.fill(*mailgen.mails(PAGES))
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(PAGES)
    tenant.mailbox.expire_sync(how=how)
    ids += tenant.fill(mailgen.make_mail(PAGES))
    fetcher.caught_up(PAGES + 1)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)


def test_a_link_expires_in_the_middle_of_a_round(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    ids = tenant.fill(*mailgen.mails(PAGES))
    tenant.graph.fail("delta_next", graph_faults.sync_lost(), skip=1)
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(PAGES)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)
    assert tenant.graph.count("delta") == 2


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [20_000, 3_000_000])
def test_a_cut_body_is_never_stored(
    fetcher: Fetcher, server: RedisServer, tenant: Tenant, chunked: bool, size: int
) -> None:
    ids = tenant.fill(*mailgen.mails(3), mailgen.large_mail(size), mailgen.make_mail(9))
    tenant.graph.fail("value", graph_faults.cut_body(size // 2, chunked=chunked), times=2, id=ids[3])
    fetcher.assign(assignment(tenant.spec()))
    fetcher.caught_up(5)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)


@pytest.mark.parametrize("endpoint", ["folder", "delta", "delta_next", "value", "list"])
def test_connections_that_end(fetcher: Fetcher, server: RedisServer, tenant: Tenant, endpoint: str) -> None:
    ids = tenant.fill(*mailgen.mails(PAGES))
    tenant.graph.fail(endpoint, graph_faults.drop(), times=3, skip=1 if endpoint == "delta_next" else 0)
    fetcher.assign(assignment(tenant.spec()))
    fetcher.caught_up(PAGES)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)


@pytest.mark.parametrize("retry", ["1", ""])
@pytest.mark.parametrize("status", [429, 503, 504, 509])
def test_patience(fetcher: Fetcher, server: RedisServer, tenant: Tenant, retry: str, status: int) -> None:
    ids = tenant.fill(*mailgen.mails(20))
    tenant.graph.fail("value", graph_faults.refuse(status, "TooManyRequests", retry_after=retry), skip=7)
    fetcher.assign(assignment(tenant.spec()))
    fetcher.wait_for(lambda r: r.last_problem and r.last_problem.reason == "Throttled")
    fetcher.caught_up(20)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)


def test_never_more_than_four_requests_at_once(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(50))
    fetcher.assign(assignment(tenant.spec()))
    fetcher.caught_up(50)
    assert tenant.mailbox.highest <= 4


def test_a_mail_that_cannot_be_had_is_put_aside(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """As opaque S/MIME, of which Exchange makes no MIME."""
    ids = tenant.fill(*mailgen.mails(10))
    tenant.graph.fail("value", graph_faults.conversion_failed(), times=None, id=ids[4])
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(9)
    assert "ErrorMimeContentConversionFailed" in fetcher.noticed("MailQuarantined")
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids[:4], *ids[5:])
    tenant.graph.plan.clear()
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN), requests={"refetch": "quarantined"}))
    fetcher.caught_up(10)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)


def test_a_mail_that_is_not_found_yet_is_not_lost(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    now = "2099-01-01T00:00:00Z"
    first, late = tenant.fill(mailgen.make_mail(1)), tenant.fill(mailgen.make_mail(2), received=now)
    tenant.graph.fail("value", graph_faults.not_found(), times=2, id=late[0])
    tenant.graph.fail("message", graph_faults.not_found(), times=2, id=late[0])
    fetcher.assign(assignment(tenant.spec()))
    fetcher.caught_up(1)
    assert "does not find it yet" in fetcher.noticed("MailQuarantined")
    tenant.graph.plan.clear()
    fetcher.assign(assignment(tenant.spec(), requests={"refetch": "quarantined"}))
    fetcher.caught_up(2)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *first, *late)


def test_a_mail_that_left_before_it_was_taken(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    held = graph_faults.hold()
    tenant.graph.fail("value", held, id=ids[0])
    fetcher.assign(assignment(tenant.spec()))
    tenant.graph.await_request("value")
    tenant.mailbox.delete(ids[1])
    tenant.mailbox.move(ids[2], "archive")
    held.release.set()
    fetcher.wait_for(lambda r: r.phase == "Polling")
    # The third one was told to be here a moment ago, and its id still opens it.
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, ids[0], ids[2])


def test_limits_of_size(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    ids = tenant.fill(mailgen.large_mail(3_000_000), mailgen.make_mail(1), mailgen.large_mail(900_000))
    fetcher.assign(assignment(tenant.spec(queue={"maxMessageSize": "1Mi"})))
    fetcher.caught_up(2)
    assert "maxMessageSize (1Mi)" in fetcher.noticed("MailQuarantined")
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids[1:])
    fetcher.assign(assignment(tenant.spec(queue={"maxMessageSize": "4Mi"}), generation=2))
    fetcher.caught_up(3)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)


def test_changes_that_do_not_say_what_ids_they_give(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """It is seen at one of the mails."""
    tenant.graph.changes = "quiet"
    ids = tenant.fill(*mailgen.mails(PAGES))
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(PAGES)
    assert sorted(bodies(server.client())) == stored(tenant.mailbox, *ids)
    assert tenant.graph.count("message") == 1


@pytest.mark.parametrize("where", ["everywhere", "changes"])
def test_no_lasting_ids(fetcher: Fetcher, server: RedisServer, tenant: Tenant, where: str) -> None:
    """As in some personal accounts: rather nothing than everything twice."""
    if where == "everywhere":
        tenant.graph.immutable = False
    else:
        tenant.graph.changes = "ordinary"
    tenant.fill(*mailgen.mails(3))
    fetcher.assign(assignment(tenant.spec()))
    assert "spec.protocol IMAP" in fetcher.problem("InvalidConfiguration")
    assert bodies(server.client()) == []
