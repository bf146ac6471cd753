"""Where a mailbox begins (`spec.backlog`), and where it goes on when it has moved; and what the probe says of both."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_fetcher.probe import examine
from tests.integration.fetcher.helpers import (
    Account,
    Fetcher,
    assignment,
    bodies,
    entries,
    fake_spec,
    fetcher_on,
    give_fake_secret,
    log_steps,
)
from tests.servers import mailgen
from tests.servers.pop3fake import FakePop3
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

BOTH = pytest.mark.parametrize("protocol", ["IMAP", "POP3"])


def spec_of(account: Account, protocol: str, **changes: Any) -> dict[str, Any]:
    return account.pop3(**changes) if protocol == "POP3" else account.spec(**changes)


def often(fetcher: Fetcher, account: Account, protocol: str, **changes: Any) -> Assignment:
    """An assignment that looks for news often, as POP3 has no IDLE."""
    account.give_secrets(fetcher)
    return assignment(spec_of(account, protocol, schedule={"interval": "300ms"}, **changes))


def probe(fetcher: Fetcher, a: Assignment) -> ProbeResult:
    return examine(
        a, cluster_id="cluster-1", secrets=fetcher.directory / "secrets", redis=fetcher.env.redis, clock=Clock()
    )


def estimate(fetcher: Fetcher, a: Assignment) -> Any:
    result = probe(fetcher, a)
    assert result.problem is None, result
    assert [step.name for step in result.steps][-1] == "permission"
    return result.estimate


def dated(n: int, day: int) -> bytes:
    date = datetime(2026, 1, day, 12, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return f"From: a@b.test\r\nDate: {date}\r\nMessage-ID: <{n}@b.test>\r\nSubject: {n}\r\n\r\nText {n}\r\n".encode()


@BOTH
def test_from_now_on(fetcher: Fetcher, server: RedisServer, account: Account, protocol: str) -> None:
    account.dovecot.fill(account.user, mailgen.mails(20))
    a = often(fetcher, account, protocol, backlog={"startFrom": "Now"})
    found = estimate(fetcher, a)
    assert (found.new_messages, found.total_messages, found.mailbox) == (0, 20, "New")
    fetcher.assign(a)
    fetcher.wait_for(lambda r: r.phase in ("Listening", "Polling"))
    assert bodies(server.client()) == []
    assert len(log_steps(server.client(), "baseline")) == 1
    for n in range(20, 23):
        account.dovecot.deliver(account.user, mailgen.make_mail(n))
    fetcher.caught_up(3)
    assert len(set(bodies(server.client()))) == 3
    found = estimate(fetcher, a)
    assert (found.new_messages, found.total_messages, found.mailbox) == (0, 23, "Known")


@BOTH
def test_since_a_day(fetcher: Fetcher, server: RedisServer, account: Account, protocol: str) -> None:
    for n, day in enumerate((10, 20, 21, 30)):
        moment = datetime(2026, 1, day, 12, tzinfo=UTC)
        account.dovecot.fill(account.user, [dated(n, day)], received=moment)
    if protocol == "POP3":
        account.dovecot.fill(account.user, [b"Subject: 9\r\n\r\nno date\r\n"])
    a = often(fetcher, account, protocol, backlog={"startFrom": "Since", "since": "2026-01-21"})
    found = estimate(fetcher, a)
    new = 3 if protocol == "POP3" else 2
    assert (found.new_messages, found.total_messages) == (new, new + 2)
    assert found.confidence == ("Low" if protocol == "POP3" else "Medium")
    fetcher.assign(a)
    fetcher.caught_up(new)
    # Below the baseline the filter counts, above it everything is new, however old.
    account.dovecot.fill(account.user, [dated(7, 5)], received=datetime(2026, 1, 5, tzinfo=UTC))
    account.dovecot.deliver(account.user, dated(8, 5))
    fetcher.caught_up(new + 2)
    subjects = [entry["subject"] for entry in entries(server.client())]
    assert sorted(subjects) == sorted(["2", "3", "7", "8", *(["9"] if protocol == "POP3" else [])])


@BOTH
def test_the_probe_counts_what_will_be_downloaded(
    fetcher: Fetcher, server: RedisServer, account: Account, protocol: str
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(12))
    a = often(fetcher, account, protocol)
    found = estimate(fetcher, a)
    assert (found.new_messages, found.mailbox, found.accuracy) == (12, "New", "Exact")
    assert server.client().dbsize() == 0
    fetcher.assign(a)
    fetcher.caught_up(12)
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="the session has ended")
    account.dovecot.fill(account.user, mailgen.mails(3, start=12))
    found = estimate(fetcher, a)
    assert (found.new_messages, found.total_messages, found.mailbox) == (3, 15, "Known")
    assert (found.accuracy, found.confidence) == ("Exact", "High")
    assert len(bodies(server.client())) == 12


def test_the_probe_recognises_mails_after_a_renumbering(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(30))
    a = often(fetcher, account, "IMAP")
    fetcher.assign(a)
    fetcher.caught_up(30)
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="the session has ended")
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.fill(account.user, mailgen.mails(4, start=30))
    before = server.client().hgetall("mail:{helpdesk/support}:conn:support:state")
    found = estimate(fetcher, a)
    assert (found.new_messages, found.total_messages, found.mailbox, found.method) == (4, 34, "Known", "Comparison")
    assert "UIDVALIDITY" in found.notes[0]
    assert server.client().hgetall("mail:{helpdesk/support}:conn:support:state") == before


# ---- the same mailbox at another address ----


@BOTH
def test_a_mailbox_that_moved_goes_on(
    tmp_path: Path, fetcher: Fetcher, server: RedisServer, account: Account, protocol: str
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(20))
    fetcher.assign(often(fetcher, account, protocol))
    state_id = fetcher.caught_up(20).state_id
    port = account.dovecot.pop3s_port if protocol == "POP3" else account.dovecot.imaps_port
    with FaultProxy(port) as proxy:
        moved = often(fetcher, account, protocol, server={"host": "127.0.0.1", "port": proxy.port})
        account.dovecot.deliver(account.user, mailgen.make_mail(20))
        fetcher.caught_up(21)
        account.dovecot.deliver(account.user, mailgen.make_mail(21))
        fetcher.assign()
        wait_until(lambda: fetcher.report() is None, what="the session has ended")
        result = probe(fetcher, moved)
        assert result.state
        assert (result.state.moved, result.state.same_mailbox) == (True, True)
        assert result.estimate
        assert (result.estimate.mailbox, result.estimate.new_messages <= 1) == ("Known", True)
        fetcher.assign(moved)  # under the same approval
        report = fetcher.caught_up(22)
        assert report.state_id == state_id
        assert "recognised" in fetcher.noticed("MailboxMoved")
    assert sorted(bodies(server.client())) == account.stored()
    assert not server.client().exists("mail:{helpdesk/support}:conn:support:prev")


@BOTH
def test_a_mailbox_with_too_few_mails_is_not_recognised(
    fetcher: Fetcher, server: RedisServer, account: Account, make_account: Any, protocol: str
) -> None:
    other = make_account()
    account.dovecot.fill(account.user, mailgen.mails(2))
    other.dovecot.fill(other.user, mailgen.mails(2))
    fetcher.assign(often(fetcher, account, protocol))
    fetcher.caught_up(2)
    fetcher.assign(often(fetcher, other, protocol))
    assert fetcher.wait_for(lambda r: r.phase == "Waiting").gate == "IdentityChanged"
    assert len(bodies(server.client())) == 2


def test_short_uidls_prove_nothing(tmp_path: Path, server: RedisServer) -> None:
    """At many servers the first mail is called 1: that is not the same mailbox."""
    with FakePop3() as one, FakePop3() as two, fetcher_on(tmp_path / "pod", server.url) as fetcher:
        give_fake_secret(fetcher)
        for n, fake in enumerate((one, two)):
            fake.add(*mailgen.mails(10, seed=n))
        fetcher.assign(assignment(fake_spec(one.port, protocol="POP3")))
        fetcher.caught_up(10)
        fetcher.assign(assignment(fake_spec(two.port, protocol="POP3")))
        assert fetcher.wait_for(lambda r: r.phase == "Waiting").gate == "IdentityChanged"
        assert not probe(fetcher, assignment(fake_spec(two.port, protocol="POP3"))).state.same_mailbox  # type: ignore[union-attr]
        fetcher.assign(assignment(fake_spec(two.port, protocol="POP3"), gate_epoch=2))
        fetcher.wait_for(lambda r: r.phase == "Polling" and not r.gate)
        assert len(set(bodies(server.client()))) == 20


def test_two_mailboxes_with_the_same_uidls_are_told_apart(
    fetcher: Fetcher, server: RedisServer, account: Account, make_account: Any
) -> None:
    """Dovecot makes UIDLs of the second in which a mailbox was made, and the number of the mail."""
    other = make_account()
    for one, start in ((account, 0), (other, 100)):
        one.dovecot.fill(one.user, mailgen.mails(20, start=start))
        one.dovecot.set_uid_validity(one.user, 1_700_000_000)
    fetcher.assign(often(fetcher, account, "POP3"))
    fetcher.caught_up(20)
    fetcher.assign(often(fetcher, other, "POP3"))
    assert fetcher.wait_for(lambda r: r.phase == "Waiting").gate == "IdentityChanged"
    assert len(bodies(server.client())) == 20
