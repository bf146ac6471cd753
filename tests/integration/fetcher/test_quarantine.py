"""A mail that cannot be had never blocks its mailbox; a server that gives out nothing puts no mail aside."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.mails import hash_of
from tests.integration.fetcher.helpers import (
    Account,
    Fetcher,
    assignment,
    bodies,
    fake_spec,
    give_fake_secret,
    log_steps,
)
from tests.servers import mailgen
from tests.servers.imapfake import CUT, FakeImap
from tests.servers.pop3fake import FakePop3
from tests.servers.redis import RedisServer, wait_until

CONNECTION = "mail:{helpdesk/support}:conn:support"


@pytest.fixture
def fake(fetcher: Fetcher) -> Iterator[FakeImap]:
    give_fake_secret(fetcher)
    with FakeImap() as running:
        yield running


def fill(fake: FakeImap, count: int) -> None:
    for n in range(count):
        fake.inbox.add(mailgen.make_mail(len(fake.inbox.mails) + n))


def spec(port: int, *, protocol: str = "IMAP", action: str = "MarkSeen") -> dict[str, Any]:
    """Looks for news often."""
    schedule = {"interval": "200ms", "push": False}
    return fake_spec(port, protocol=protocol, schedule=schedule, afterDownload={"action": action})


def records(server: RedisServer) -> dict[str, dict[str, Any]]:
    client: Any = server.client()
    return {ref.decode(): json.loads(text) for ref, text in client.hgetall(f"{CONNECTION}:quarantine").items()}


def state(server: RedisServer, field: str) -> str:
    client: Any = server.client()
    return str(client.hget(f"{CONNECTION}:state", field).decode())


def hurry(fetcher: Fetcher, wanted: dict[str, Any], until: Callable[[ConnectionReport], object]) -> None:
    """Waits for a report, without the back-off after failures."""

    def reached() -> bool:
        fetcher.assign(assignment(wanted, requests={"fetch": str(time.monotonic())}))
        report = fetcher.report()
        return bool(report and until(report))

    wait_until(reached, what="the report")


def test_the_others_go_on(fetcher: Fetcher, server: RedisServer, fake: FakeImap) -> None:
    fill(fake, 5)
    fake.quirks.refused = {3}
    fetcher.assign(assignment(spec(fake.port)))
    report = fetcher.wait_for(lambda r: r.messages == 4 and r.quarantined == 1 and r.phase == "Polling")
    assert report.problem is None
    assert state(server, "cursor") == "1:5"
    told = fetcher.noticed("MailQuarantined")
    assert "UID 3" in told
    assert "cannot read it" in told
    record = records(server)["1/3"]
    assert (record["kind"], record["attempts"]) == ("Unreadable", 1)
    assert record["retry"] - record["since"] == 3600
    (line,) = log_steps(server.client(), "quarantined")
    assert (line["ref"], line["result"]) == ("1/3", "Failed")
    fake.quirks.refused = set()
    fetcher.assign(assignment(spec(fake.port), requests={"refetch": "quarantined"}))
    report = fetcher.answered("refetch", "quarantined")
    assert (report.messages, report.quarantined) == (5, 0)
    assert len(set(bodies(server.client()))) == 5
    fetcher.wait_for(lambda r: not r.actions.pending)
    assert all(r"\Seen" in mail.flags for mail in fake.inbox.mails)


def test_it_is_tried_again_by_itself(fetcher: Fetcher, server: RedisServer, fake: FakeImap) -> None:
    fill(fake, 5)
    fake.quirks.refused = {3}
    fetcher.assign(assignment(spec(fake.port)))
    fetcher.wait_for(lambda r: r.quarantined == 1 and r.phase == "Polling")

    def hours_later() -> None:
        """As if its time had come; a new session reads the record."""
        fetcher.assign()
        wait_until(lambda: fetcher.report() is None, what="the session has ended")
        record = records(server)["1/3"] | {"retry": int(time.time()) - 1}
        server.client().hset(f"{CONNECTION}:quarantine", "1/3", json.dumps(record))
        fetcher.assign(assignment(spec(fake.port)))

    hours_later()
    wait_until(lambda: records(server)["1/3"]["attempts"] == 2, what="the second attempt")
    assert records(server)["1/3"]["retry"] - int(time.time()) > 5 * 3600
    fake.quirks.refused = set()
    hours_later()
    fetcher.wait_for(lambda r: r.messages == 5 and r.quarantined == 0)
    assert records(server) == {}


def test_the_last_one_is_put_aside_when_another_proves_that_the_server_is_healthy(
    fetcher: Fetcher, server: RedisServer, fake: FakeImap
) -> None:
    fill(fake, 3)
    fetcher.assign(assignment(spec(fake.port)))
    fetcher.caught_up(3)
    fake.quirks.refused = {4}
    fill(fake, 1)
    report = fetcher.wait_for(lambda r: r.quarantined == 1 and r.phase == "Polling")
    assert (report.messages, report.failures) == (3, 0)
    assert state(server, "cursor") == "1:4"


def test_nothing_proves_it(fetcher: Fetcher, server: RedisServer, fake: FakeImap) -> None:
    """The only mail of a mailbox: it waits, with a word, until another one comes."""
    fill(fake, 1)
    fake.quirks.refused = {1}
    fetcher.assign(assignment(spec(fake.port)))
    assert "UID 1" in fetcher.problem("ConnectionFailed")
    assert records(server) == {}
    fill(fake, 1)
    fetcher.assign(assignment(spec(fake.port), requests={"fetch": "now"}))
    report = fetcher.wait_for(lambda r: r.messages == 1 and r.quarantined == 1)
    assert report.problem is None


def test_a_server_whose_storage_is_down_puts_nothing_aside(
    fetcher: Fetcher, server: RedisServer, fake: FakeImap
) -> None:
    fill(fake, 20)
    fake.quirks.refused = set(range(1, 21))
    fetcher.assign(assignment(spec(fake.port)))
    assert "storage may be down" in fetcher.problem("ConnectionFailed")
    assert (records(server), state(server, "cursor"), bodies(server.client())) == ({}, "", [])
    fake.quirks.refused = set()
    fetcher.assign(assignment(spec(fake.port), requests={"fetch": "now"}))
    fetcher.caught_up(20)
    assert len(set(bodies(server.client()))) == 20


def test_more_than_five_within_an_hour_are_not_the_mails(fetcher: Fetcher, server: RedisServer, fake: FakeImap) -> None:
    fill(fake, 20)
    fake.quirks.refused = set(range(2, 15, 2))
    fetcher.assign(assignment(spec(fake.port)))
    assert "more than 5" in fetcher.problem("ConnectionFailed")
    assert set(records(server)) <= {f"1/{uid}" for uid in range(2, 11, 2)}
    assert int(state(server, "cursor").partition(":")[2]) < 12
    fake.quirks.refused = set()
    fetcher.assign(assignment(spec(fake.port), requests={"refetch": "quarantined"}))
    fetcher.answered("refetch", "quarantined")
    fetcher.caught_up(20)
    assert len(set(bodies(server.client()))) == 20


@pytest.mark.parametrize("refusal", [b"[SERVERBUG] cannot read it", b"[UNAVAILABLE] try again later"])
def test_many_in_a_row_are_put_aside_one_by_one(
    fetcher: Fetcher, server: RedisServer, fake: FakeImap, refusal: bytes
) -> None:
    """Five an hour, as others show that the server is healthy; else the mailbox would stand still for ever."""
    fill(fake, 20)
    fake.quirks.refusal = refusal
    fake.quirks.refused = set(range(5, 13))
    hurry(fetcher, spec(fake.port), lambda r: r.problem and "more than 5" in r.problem.message and r.quarantined == 5)
    assert set(records(server)) == {f"1/{uid}" for uid in range(5, 10)}
    assert state(server, "cursor") == "1:9"
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="the session has ended")
    for ref, record in records(server).items():  # as if an hour had passed
        server.client().hset(f"{CONNECTION}:quarantine", ref, json.dumps(record | {"since": 1}))
    hurry(fetcher, spec(fake.port), lambda r: r.messages == 12 and r.quarantined == 8 and r.phase == "Polling")
    assert len(set(bodies(server.client()))) == 12


def test_a_mail_that_is_refused_with_a_plea_for_patience_stops_only_itself(
    fetcher: Fetcher, server: RedisServer, fake: FakeImap
) -> None:
    fill(fake, 6)
    fake.quirks.refused, fake.quirks.refusal = {3}, b"temporarily not to be had"
    hurry(fetcher, spec(fake.port), lambda r: r.messages == 5 and r.quarantined == 1 and r.phase == "Polling")
    assert set(records(server)) == {"1/3"}


def test_too_large_until_the_limit_is_raised(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, [mailgen.make_mail(1), mailgen.large_mail(2_000_000), mailgen.make_mail(2)])
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(queue={"maxMessageSize": "1Mi"})))
    report = fetcher.wait_for(lambda r: r.messages == 2 and r.quarantined == 1 and r.phase == "Listening")
    assert report.problem is None
    told = fetcher.noticed("MailQuarantined")
    assert "UID 2" in told
    assert "spec.queue.maxMessageSize (1Mi)" in told
    wait_until(lambda: account.dovecot.flags(account.user)[3] == {"\\seen"}, what="the one behind it is done with")
    assert account.dovecot.flags(account.user)[2] == set()
    fetcher.assign(assignment(account.spec(queue={"maxMessageSize": "4Mi"})))
    assert fetcher.caught_up(3).quarantined == 0
    assert sorted(bodies(server.client())) == account.stored()
    assert len(fetcher.report().notices) == 1  # type: ignore[union-attr]


def test_what_is_in_quarantine_is_tried_again_after_a_renumbering(
    fetcher: Fetcher, server: RedisServer, fake: FakeImap
) -> None:
    fill(fake, 8)
    fake.quirks.refused = {3}
    fetcher.assign(assignment(spec(fake.port)))
    fetcher.wait_for(lambda r: r.quarantined == 1 and r.phase == "Polling")
    for uid_validity, refused, quarantined in ((2, {3}, {"2/3"}), (3, set(), set())):
        fetcher.assign()
        wait_until(lambda: fetcher.report() is None, what="the session has ended")
        fake.inbox.uid_validity, fake.quirks.refused = uid_validity, refused
        fetcher.assign(assignment(spec(fake.port)))
        fetcher.wait_for(lambda r: r.phase == "Polling")
        assert set(records(server)) == quarantined
        assert state(server, "phase") == "Steady"
    assert len(set(bodies(server.client()))) == len(bodies(server.client())) == 8


def test_a_mail_that_always_breaks_the_connection_is_left_out(
    fetcher: Fetcher, server: RedisServer, fake: FakeImap
) -> None:
    fill(fake, 6)
    good = b"{%d}\r\n%b"
    fake.quirks.body = lambda mail: CUT if mail.uid == 3 else good % (len(mail.raw), mail.raw)
    hurry(fetcher, spec(fake.port), lambda r: r.messages == 5 and r.quarantined == 1 and r.phase == "Polling")
    assert "the connection broke" in records(server)["1/3"]["detail"]
    fake.quirks.body = None
    for n in ("1", "2"):  # the first time it is still left out
        fetcher.assign(assignment(spec(fake.port), requests={"refetch": f"quarantined#{n}"}))
        fetcher.answered("refetch", f"quarantined#{n}")
    fetcher.caught_up(6)
    assert len(set(bodies(server.client()))) == 6


def test_a_mail_that_is_much_larger_than_the_server_says_stops_only_itself(
    fetcher: Fetcher, server: RedisServer
) -> None:
    """For example of empty lines only, where LIST counts one byte for each."""
    give_fake_secret(fetcher)
    with FakePop3() as fake:
        fake.add(*mailgen.mails(2))
        fake.add(mailgen.large_mail(2_000_000), size=900_000)
        fake.add(*mailgen.mails(2, start=2))
        wanted = spec(fake.port, protocol="POP3") | {"queue": {"maxMessageSize": "1Mi"}}
        hurry(fetcher, wanted, lambda r: r.messages == 4 and r.quarantined == 1 and r.phase == "Polling")
        assert len(set(bodies(server.client()))) == 4


def test_pop3(fetcher: Fetcher, server: RedisServer) -> None:
    """It counts as known, but is never deleted."""
    give_fake_secret(fetcher)
    with FakePop3() as fake:
        mails = list(mailgen.mails(5))
        fake.add(*mails)
        fake.quirks.answers["RETR 2"] = b"-ERR [SYS/TEMP] cannot read it\r\n"
        fetcher.assign(assignment(spec(fake.port, protocol="POP3", action="Delete")))
        fetcher.wait_for(lambda r: r.messages == 4 and r.quarantined == 1 and not r.actions.pending)
        del fake.quirks.answers["RETR 2"]
        wait_until(lambda: fake.left == [mails[1]], what="the others are deleted")
        before = fake.count("RETR")
        sessions = fake.count("UIDL")
        wait_until(lambda: fake.count("UIDL") > sessions + 3, what="some more rounds")
        assert (fake.count("RETR"), fake.left) == (before, [mails[1]])
        request = {"refetch": "quarantined"}
        fetcher.assign(assignment(spec(fake.port, protocol="POP3", action="Delete"), requests=request))
        fetcher.answered("refetch", "quarantined")
        fetcher.caught_up(5)
        assert fake.left == []
        assert len(set(bodies(server.client()))) == 5


def test_a_mail_whose_size_dovecot_cannot_tell(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """Dovecot ends the connection as soon as anything is asked of it, also when all are listed."""
    mails = account.dovecot.fill(account.user, mailgen.mails(5))
    account.dovecot.make_unreadable(account.user, 1)
    account.give_secrets(fetcher)
    wanted = account.spec(afterDownload={"action": "None"})
    hurry(fetcher, wanted, lambda r: r.quarantined == 1 and r.messages == 4)
    assert bodies(server.client()) == [hash_of(mail) for n, mail in enumerate(mails) if n != 1]


def test_a_first_mail_whose_size_dovecot_cannot_tell(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """No mail before it proves that the server is healthy, but those behind it do."""
    mails = account.dovecot.fill(account.user, mailgen.mails(3))
    account.dovecot.make_unreadable(account.user, 0)
    account.give_secrets(fetcher)
    hurry(fetcher, account.spec(afterDownload={"action": "None"}), lambda r: r.quarantined == 1 and r.messages == 2)
    assert bodies(server.client()) == [hash_of(mail) for mail in mails[1:]]
