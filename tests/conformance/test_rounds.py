"""Round after round: new mails, others' removals, cuts, kills, restarts; each mail once all the same."""

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import Mailbox
from tests.conformance.raw_imap import Held
from tests.servers import mailgen
from tests.servers.proxy import FaultProxy

SLOWER = 0.02
"""Seconds that each piece of data of the mail server waits, so that a download lasts long enough to be hit."""


@pytest.fixture
def proxy(mailbox: Mailbox) -> Iterator[FaultProxy]:
    with FaultProxy(mailbox.port) as proxy:
        yield proxy


def test_each_round_brings_only_what_is_new(mailbox: Mailbox, connection: Connection) -> None:
    held: list[Held] = []
    for count in (3, 0, 1, 5):
        mailbox.fill(list(mailgen.mails(count, start=len(held))))
        held = mailbox.read()
        connection.once()
        connection.must_hold(held)


def test_others_remove_mails_between_the_rounds(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.fill(list(mailgen.mails(8)))
    first = mailbox.read()
    connection.once()
    mailbox.remove([first[0].uid, first[4].uid, first[7].uid])
    mailbox.fill(list(mailgen.mails(3, start=50)))
    added = mailbox.read()[5:]
    assert len(added) == 3
    connection.once()
    connection.must_hold(first, added)


def test_others_remove_mails_before_the_first_round(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.fill(list(mailgen.mails(8)))
    first = mailbox.read()
    mailbox.remove([one.uid for one in first[2:6]])
    left = mailbox.read()
    assert len(left) == 4
    connection.once()
    connection.must_hold(left)


def test_others_remove_mails_during_the_download(mailbox: Mailbox, connection: Connection, proxy: FaultProxy) -> None:
    """Those that stay come once; those that went came once or not at all."""
    if mailbox.protocol == "POP3":
        mailbox.need("POP3 numbers that stay")
    mailbox.fill(list(mailgen.mails(200)))
    before = mailbox.read()
    proxy.delay = SLOWER
    running = connection.start(port=proxy.port)
    running.wait_for(lambda: connection.stored() > 5, "the first mails")
    gone = before[60:200:3]
    mailbox.remove([one.uid for one in gone])
    proxy.delay = 0.0
    left = mailbox.read()
    assert len(left) == len(before) - len(gone)
    running.wait_until_caught_up()
    running.end()
    connection.once(port=proxy.port)
    found = Counter(entry.raw for entry in connection.entries())
    assert not Counter(one.raw for one in left) - found
    assert not found - Counter(one.raw for one in before)


@pytest.mark.parametrize("action", ["None", "Delete"])
def test_killed_during_the_download(mailbox: Mailbox, connection: Connection, proxy: FaultProxy, action: str) -> None:
    mailbox.fill([mailgen.large_mail(120_000, seed=n) for n in range(60)])
    before = mailbox.read()
    proxy.delay = SLOWER
    kills = 0
    while (come := connection.stored()) < len(before) and kills < 3:
        running = connection.start(port=proxy.port, afterDownload={"action": action})
        running.wait_for(lambda come=come: connection.stored() > come, "more mails")  # type: ignore[misc]
        running.kill()
        kills += 1
    assert kills > 1, "killed too late"
    proxy.delay = 0.0
    connection.once(port=proxy.port, afterDownload={"action": action})
    connection.must_hold(before)
    assert len(mailbox.read()) == (0 if action == "Delete" else len(before))


@pytest.mark.parametrize("action", ["None", "Delete"])
def test_cut_during_the_download(mailbox: Mailbox, connection: Connection, proxy: FaultProxy, action: str) -> None:
    mailbox.fill([*mailgen.mails(40), mailgen.large_mail(3_000_000), *mailgen.mails(40, start=40)])
    before = mailbox.read()
    running = connection.start(port=proxy.port, afterDownload={"action": action})
    for count in (20_000, 150_000, 1_000_000):
        faults = proxy.faults
        proxy.cut_after(count, "to_client")
        running.wait_for(lambda faults=faults: proxy.faults > faults, "the cut")  # type: ignore[misc]
    running.wait_for(lambda: connection.stored() == len(before), "all mails")
    running.end()
    connection.once(port=proxy.port, afterDownload={"action": action})
    connection.must_hold(before)
    assert len(mailbox.read()) == (0 if action == "Delete" else len(before))


def test_new_mail_while_it_runs(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.fill(list(mailgen.mails(2)))
    running = connection.start()
    running.wait_for(lambda: connection.stored() == 2, "the first mails")
    for n in itertools.count(2):
        mailbox.fill([mailgen.make_mail(n)])
        running.wait_for(lambda n=n: connection.stored() == n + 1, "the new mail")  # type: ignore[misc]
        if n == 3:
            break
    running.end()
    connection.must_hold(mailbox.read())


def test_the_server_is_restarted(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.need("mails that survive a restart")
    mailbox.fill(list(mailgen.mails(5)))
    running = connection.start()
    running.wait_for(lambda: connection.stored() == 5, "the first mails")
    mailbox.server.restart()
    mailbox.fill([mailgen.make_mail(5)])
    running.wait_for(lambda: connection.stored() == 6, "the mail after the restart")
    running.end()
    connection.must_hold(mailbox.read())


def test_stopped_while_it_waits_and_started_again(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.fill(list(mailgen.mails(5)))
    for _ in range(3):
        running = connection.start(afterDownload={"action": "MarkSeen"})
        running.wait_until_caught_up()
        running.end()
    connection.must_hold(mailbox.read())
