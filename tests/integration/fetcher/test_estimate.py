"""How many mails would come, how sure that is, and why it may be off: on real servers, and on what they cannot be."""

from typing import Any

import pytest

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import Estimate
from mailfetch_fetcher.probe import examine
from tests.integration.fetcher.helpers import Account, Fetcher, assignment, fake_spec, give_fake_secret
from tests.servers import mailgen
from tests.servers.imapfake import FakeImap, VastFolder
from tests.servers.pop3fake import FakePop3, Pop3Quirks
from tests.servers.redis import RedisServer, wait_until

MILLION = 1_000_000
MARK_SEEN: dict[str, Any] = {"afterDownload": {"action": "MarkSeen"}, "schedule": {"interval": "300ms"}}
QUEUE = "mail:{helpdesk/support}:queue"


def estimate(fetcher: Fetcher, a: Assignment) -> Estimate:
    secrets = fetcher.directory / "secrets"
    result = examine(a, cluster_id="cluster-1", secrets=secrets, redis=fetcher.env.redis, clock=Clock())
    assert result.problem is None, result
    assert result.estimate
    return result.estimate


def download(fetcher: Fetcher, a: Assignment, mails: int) -> None:
    fetcher.assign(a)
    fetcher.caught_up(mails)
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="the session has ended")


def noted(found: Estimate, words: str) -> bool:
    return any(words in note for note in found.notes)


def test_pop3_with_mark_seen_is_exact_on_a_new_and_on_a_known_mailbox(fetcher: Fetcher, account: Account) -> None:
    account.give_secrets(fetcher)
    account.dovecot.fill(account.user, mailgen.mails(20))
    a = assignment(account.pop3(**MARK_SEEN))
    found = estimate(fetcher, a)
    assert (found.new_messages, found.total_messages, found.mailbox) == (20, 20, "New")
    assert (found.accuracy, found.confidence, found.method) == ("Exact", "High", "Count")
    download(fetcher, a, 20)
    account.dovecot.fill(account.user, mailgen.mails(3, start=20))
    found = estimate(fetcher, a)
    assert (found.new_messages, found.total_messages, found.mailbox) == (3, 23, "Known")
    assert (found.accuracy, found.confidence, found.method) == ("Exact", "High", "Ledger")
    assert noted(found, "20 of the 23 mails were downloaded or left out before")


@pytest.mark.parametrize("known", [False, True])
def test_pop3_without_uidl_is_low_and_says_why(fetcher: Fetcher, known: bool) -> None:
    give_fake_secret(fetcher)
    with FakePop3(Pop3Quirks(uidl=False, before_login=("USER", "TOP"), after_login=("TOP",))) as server:
        server.add(*mailgen.mails(5))
        a = assignment(fake_spec(server.port, protocol="POP3", **MARK_SEEN))
        if known:
            download(fetcher, a, 5)
        found = estimate(fetcher, a)
    assert (found.new_messages, found.accuracy, found.confidence) == (0 if known else 5, "Low", "Low")
    assert noted(found, "gives 5 of 5 mails no lasting name (UIDL)")


def test_pop3_at_gmail_is_low_as_it_hides_mails(fetcher: Fetcher) -> None:
    give_fake_secret(fetcher)
    words = ("USER", "UIDL", "TOP", "X-GOOGLE-RICO")
    with FakePop3(Pop3Quirks(pops=True, pipelining=False, before_login=words, after_login=words)) as server:
        server.add(*mailgen.mails(5))
        found = estimate(fetcher, assignment(fake_spec(server.port, protocol="POP3", **MARK_SEEN)))
    assert (found.new_messages, found.accuracy, found.confidence) == (5, "Low", "Low")
    assert noted(found, "over IMAP all are counted")


def test_a_pause_between_logins_is_told(fetcher: Fetcher) -> None:
    give_fake_secret(fetcher)
    words = ("USER", "UIDL", "TOP", "LOGIN-DELAY 900")
    with FakePop3(Pop3Quirks(pipelining=False, before_login=words, after_login=words)) as server:
        found = estimate(fetcher, assignment(fake_spec(server.port, protocol="POP3")))
    assert noted(found, "wants 900 seconds between two logins")


def test_read_mails_of_a_new_mailbox_count(fetcher: Fetcher) -> None:
    give_fake_secret(fetcher)
    with FakeImap() as server:
        for n, raw in enumerate(mailgen.mails(5)):
            server.inbox.add(raw, flags=[r"\Seen"] if n < 2 else [])
        found = estimate(fetcher, assignment(fake_spec(server.port)))
    assert (found.new_messages, found.unseen_messages, found.accuracy) == (5, 3, "Exact")
    assert noted(found, "2 of the 5 mails are read already; they count")


def test_mails_that_somebody_marked_unread_do_not_count(fetcher: Fetcher, account: Account) -> None:
    account.give_secrets(fetcher)
    account.dovecot.fill(account.user, mailgen.mails(4))
    a = assignment(account.spec(afterDownload={"action": "None"}))  # as if all were marked unread again
    download(fetcher, a, 4)
    found = estimate(fetcher, assignment(account.spec(afterDownload={"action": "MarkSeen"})))
    assert (found.new_messages, found.unseen_messages) == (0, 4)
    assert noted(found, "4 of the mails that were downloaded are unread")
    assert not noted(estimate(fetcher, a), "are unread")


def test_whether_anybody_reads_the_stream(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.give_secrets(fetcher)
    account.dovecot.fill(account.user, mailgen.mails(2))
    client = server.client()
    nobody = assignment(account.spec())
    named = assignment(account.spec(queue={"consumerGroups": ["helpdesk"]}))
    assert noted(estimate(fetcher, nobody), f"no consumer group reads this stream ({QUEUE})")
    assert noted(estimate(fetcher, named), "the consumer group helpdesk has not read anything")
    assert client.dbsize() == 0
    download(fetcher, named, 2)
    assert noted(
        estimate(fetcher, nobody), "the consumer group helpdesk has not read anything"
    )  # it is there now, and still unread
    client.xreadgroup("helpdesk", "worker", {QUEUE: ">"}, count=1)
    assert not noted(estimate(fetcher, named), "consumer group")


def test_without_an_identity_and_a_cluster_the_state_of_the_mailbox_is_found(
    fetcher: Fetcher, account: Account
) -> None:
    """As `kubectl mailfetch test -f` asks, which knows neither."""
    account.give_secrets(fetcher)
    account.dovecot.fill(account.user, mailgen.mails(4))
    a = assignment(account.spec())
    download(fetcher, a, 4)
    unsaved = Assignment(namespace=a.namespace, name=a.name, spec=a.spec, identity="")
    result = examine(
        unsaved, cluster_id="", secrets=fetcher.directory / "secrets", redis=fetcher.env.redis, clock=Clock()
    )
    assert result.problem is None
    assert result.state
    assert result.state.same_mailbox
    assert result.estimate
    assert (result.estimate.new_messages, result.estimate.mailbox) == (0, "Known")


def test_a_million_mails_are_counted_without_looking_at_them(fetcher: Fetcher) -> None:
    give_fake_secret(fetcher)
    with FakeImap() as server:
        server.folders["INBOX"] = VastFolder(count=MILLION, step=4294)
        found = estimate(fetcher, assignment(fake_spec(server.port)))
        assert (found.new_messages, found.accuracy) == (MILLION, "Exact")
        assert not [c for c in server.commands if "FETCH" in c]
        assert len(server.commands) < 15, server.commands


def test_a_million_mails_over_pop3_are_one_list(fetcher: Fetcher) -> None:
    give_fake_secret(fetcher)
    names = b"".join(b"%d %08x\r\n" % (n, n) for n in range(1, MILLION + 1))
    answers = {"STAT": b"+OK %d 1\r\n" % MILLION, "UIDL": b"+OK\r\n" + names + b".\r\n"}
    with FakePop3(Pop3Quirks(answers=answers)) as server:
        found = estimate(fetcher, assignment(fake_spec(server.port, protocol="POP3")))
        assert (found.new_messages, found.accuracy) == (MILLION, "Exact")
        assert [c for c in server.commands if c.split()[0] in ("TOP", "RETR", "LIST")] == []
        assert len(server.commands) < 10, server.commands
