"""POP3: mails come once each, QUIT is said only when they are durable, and only what was asked for is deleted."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.helpers import (
    Account,
    Fetcher,
    KillableFetcher,
    assignment,
    bodies,
    fake_spec,
    fetcher_on,
    give_fake_secret,
)
from tests.servers import checker, mailgen
from tests.servers.pop3fake import FakePop3
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

CONNECTION = "mail:{helpdesk/support}:conn:support"
OFTEN = {"interval": "200ms"}


@pytest.mark.parametrize("action", ["None", "MarkSeen", "Delete"])
def test_mails_come_once_whatever_happens_to_them(
    fetcher: Fetcher, server: RedisServer, account: Account, action: str
) -> None:
    large = mailgen.large_mail(2_000_000)
    account.dovecot.fill(
        account.user, [*mailgen.mails(150), large, b"no header at all\r\n", b"A: b\r\n\r\n.\r\n..\r\n.\r\n"]
    )
    before = account.stored()
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.pop3(schedule=OFTEN, afterDownload={"action": action})))
    report = fetcher.caught_up(153)
    assert (report.phase, report.problem, report.lag) == ("Polling", None, 0)
    for n in range(153, 156):
        account.dovecot.deliver(account.user, mailgen.make_mail(n))
        fetcher.caught_up(n + 1)
    found = sorted(bodies(server.client()))
    assert len(found) == 156
    if action == "Delete":
        wait_until(lambda: account.left() == 0, what="all are deleted")
        assert set(before) <= set(found)
    else:
        assert found == account.stored()
        assert not server.client().exists(f"{CONNECTION}:outbox")


def test_mark_seen_costs_nothing(fetcher: Fetcher, server: RedisServer) -> None:
    """Known mails are neither read nor looked at again."""
    with FakePop3() as fake:
        give_fake_secret(fetcher)
        fake.add(*mailgen.mails(50))
        fetcher.assign(assignment(fake_spec(fake.port, protocol="POP3", schedule=OFTEN)))
        fetcher.caught_up(50)
        sessions = fake.count("UIDL")
        wait_until(lambda: fake.count("UIDL") > sessions + 5, what="some more rounds")
        assert fake.count("RETR") == 50
        assert fake.count("TOP") == fake.count("DELE") == 0
        assert not server.client().exists(f"{CONNECTION}:outbox")


def test_no_quit_while_redis_is_down(tmp_path: Path, server: RedisServer) -> None:
    """As at Gmail: what was read in a session that ended with QUIT is never listed again."""
    with FaultProxy(server.port) as proxy, FakePop3() as fake:
        fake.quirks.pops = True
        fake.add(*mailgen.mails(5))
        with fetcher_on(tmp_path / "pod", f"redis://127.0.0.1:{proxy.port}/0") as fetcher:
            give_fake_secret(fetcher)
            fake.add(*(mailgen.large_mail(400_000, seed=n) for n in range(20)))
            proxy.cut_after(3_000_000, "to_server")
            proxy_cut = fake.count("QUIT")
            fetcher.assign(assignment(fake_spec(fake.port, protocol="POP3", schedule=OFTEN)))
            wait_until(lambda: proxy.faults == 1, what="Redis is gone")
            assert fake.count("QUIT") == proxy_cut
            fetcher.caught_up(25)
        assert len(set(bodies(server.client()))) == len(bodies(server.client())) == 25


def test_the_session_that_read_the_mails_says_quit(fetcher: Fetcher, server: RedisServer) -> None:
    """Otherwise Gmail would list them for ever, and never the next ones; however many chunks they are read in."""
    with FakePop3() as fake:
        fake.quirks.pops = True
        give_fake_secret(fetcher)
        fake.add(*mailgen.mails(5), *(mailgen.large_mail(3_000_000, seed=n) for n in range(4)))
        fetcher.assign(assignment(fake_spec(fake.port, protocol="POP3")))
        fetcher.caught_up(9)
        assert fake.left == []
        assert (fake.count("RETR"), fake.count("UIDL"), fake.count("QUIT")) == (9, 1, 1)


def test_no_quit_while_redis_is_unsafe(fetcher: Fetcher, server: RedisServer) -> None:
    """Nothing is downloaded twice all the same, and QUIT is said as soon as Redis keeps what it stores."""
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    with FakePop3() as fake:
        fake.quirks.pops = True
        give_fake_secret(fetcher)
        fake.add(*mailgen.mails(5))
        spec = fake_spec(fake.port, protocol="POP3", schedule=OFTEN, afterDownload={"action": "Delete"})
        fetcher.assign(assignment(spec))
        fetcher.wait_for(lambda r: r.messages == 5 and r.actions.reason == "StoreUnsafe")
        wait_until(lambda: fake.count("UIDL") > 5, what="some more rounds")
        assert fake.count("RETR") == 5
        assert (fake.count("DELE"), len(fake.left)) == (0, 5)
        server.client().config_set("maxmemory-policy", "noeviction")
        fetcher.wait_for(lambda r: r.actions.reason == "Done" and not r.actions.pending)
        wait_until(lambda: fake.left == [], what="all are deleted")


def test_a_session_that_is_cut_before_quit(tmp_path: Path, server: RedisServer, account: Account) -> None:
    """DELE counts only when QUIT was answered: the mails are still there, and are deleted by the next session."""
    account.dovecot.fill(account.user, mailgen.mails(20))
    with FakePop3() as fake, fetcher_on(tmp_path / "pod", server.url) as fetcher:
        give_fake_secret(fetcher)
        fake.add(*mailgen.mails(20))
        fake.quirks.answers["QUIT"] = b"\0cut"
        spec = fake_spec(fake.port, protocol="POP3", schedule=OFTEN, afterDownload={"action": "Delete"})
        fetcher.assign(assignment(spec))
        wait_until(lambda: fake.count("QUIT") > 0 and fake.count("DELE") >= 20, what="a cut")
        assert len(fake.left) == 20
        del fake.quirks.answers["QUIT"]
        fetcher.assign(assignment(spec, requests={"fetch": "now"}))
        fetcher.caught_up(20)
        wait_until(lambda: fake.left == [], what="all are deleted")
        assert len(bodies(server.client())) == 20


def test_a_kill_in_the_middle(tmp_path: Path, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, [mailgen.large_mail(200_000, seed=n) for n in range(30)])
    before = account.stored()
    with FaultProxy(account.dovecot.pop3s_port) as proxy, KillableFetcher(tmp_path / "k", server.url) as pod:
        server_ = {"host": "127.0.0.1", "port": proxy.port}
        proxy.delay = 0.03
        account.give_secrets(pod)
        pod.assign(assignment(account.pop3(server=server_, schedule=OFTEN, afterDownload={"action": "Delete"})))
        wait_until(lambda: len(bodies(server.client())) > 0, what="some mails")
        pod.kill()
        assert len(bodies(server.client())) < 30
        assert account.stored() == before
        proxy.delay = 0.0
        pod.start()
        wait_until(lambda: account.left() == 0, what="all are deleted")
    assert sorted(bodies(server.client())) == before


def test_uidls_that_are_used_again(fetcher: Fetcher, server: RedisServer) -> None:
    """After a mail was deleted, its UIDL may name another one."""
    with FakePop3() as fake:
        give_fake_secret(fetcher)
        spec = fake_spec(fake.port, protocol="POP3", schedule=OFTEN, afterDownload={"action": "Delete"})
        fetcher.assign(assignment(spec))
        for n in range(3):
            fake.add(mailgen.make_mail(100 + n), uidl=b"keep-me-busy")
            fake.add(mailgen.make_mail(n), uidl=b"always-the-same")
            fetcher.caught_up(3 * n + 2)
            wait_until(lambda: fake.left == [], what="they are deleted")
            sessions = fake.count("UIDL")
            fake.add(mailgen.make_mail(500 + n), uidl=b"other-%d" % n)  # an empty list proves nothing
            wait_until(lambda n=sessions: fake.count("UIDL") > n + 2, what="it was listed")  # type: ignore[misc]


def test_a_list_that_lacks_mails_for_a_while(fetcher: Fetcher, server: RedisServer) -> None:
    """Their deletion is due just then: they were not deleted, so they stay known when they are back."""
    server.client().config_set("maxmemory-policy", "allkeys-lru")  # holds all actions
    with FakePop3() as fake:
        give_fake_secret(fetcher)
        fake.add(*mailgen.mails(20))
        spec = fake_spec(fake.port, protocol="POP3", schedule=OFTEN, afterDownload={"action": "Delete"})
        fetcher.assign(assignment(spec))
        fetcher.wait_for(lambda r: r.messages == 20 and r.actions.pending == 20)
        whole = fake.mails
        fake.mails = whole[:1]
        server.client().config_set("maxmemory-policy", "noeviction")
        fetcher.wait_for(lambda r: not r.actions.pending)
        for mails in ([], whole[1:]):
            fake.mails = list(mails)
            fake.add(mailgen.make_mail(100 + len(mails)))  # an empty list proves nothing
            sessions = fake.count("UIDL")
            wait_until(lambda n=sessions: fake.count("UIDL") > n + 4, what="some more rounds")  # type: ignore[misc]
        assert len(set(bodies(server.client()))) == len(bodies(server.client())) == 22


def test_a_migrated_mailbox_waits_for_people(fetcher: Fetcher, server: RedisServer) -> None:
    """All mails stand there under new names."""
    mails = list(mailgen.mails(150))
    with FakePop3() as fake:
        give_fake_secret(fetcher)
        fake.add(*mails)
        spec = fake_spec(fake.port, protocol="POP3", schedule=OFTEN)
        fetcher.assign(assignment(spec))
        state_id = fetcher.caught_up(150).state_id
        fetcher.assign()
        wait_until(lambda: fetcher.report() is None, what="the session has ended")
        fake.mails.clear()
        fake.add(*mails)
        retrieved = fake.count("RETR")
        fetcher.assign(assignment(spec, state_id=state_id))
        report = fetcher.wait_for(lambda r: r.phase == "Waiting")
        assert report.gate == "MailboxReset"
        assert "150 mails under names that were never seen" in report.gate_message
        assert fake.count("RETR") == retrieved
        fetcher.assign(assignment(spec, state_id=state_id, gate_epoch=2))
        fetcher.caught_up(300)
        fetcher.noticed("MailboxReset")
        client: Any = server.client()
        assert client.hmget(f"{CONNECTION}:state", "phase", "gateEpoch") == [b"Steady", b"2"]
        assert fetcher.wait_for(lambda r: r.phase == "Polling").gate is None


def test_gmail_shows_its_mails_in_windows(fetcher: Fetcher, server: RedisServer) -> None:
    """Each list has other mails than the one before: that is no migration."""
    with FakePop3() as fake:
        give_fake_secret(fetcher)
        fake.quirks.pops = True
        fake.quirks.after_login = ("UIDL", "TOP", "PIPELINING", "X-GOOGLE-RICO")
        fake.add(*mailgen.mails(360))
        whole = fake.mails
        fake.mails = whole[:120]
        fetcher.assign(assignment(fake_spec(fake.port, protocol="POP3", schedule=OFTEN)))
        for n in (1, 2):
            fetcher.caught_up(120 * n)
            wait_until(lambda: fake.left == [], what="the window is done with")
            fake.mails = whole[120 * n : 120 * (n + 1)]
        fetcher.caught_up(360)
        assert len(set(bodies(server.client()))) == 360


def test_a_busy_mailbox_after_a_weekend_is_no_migration(fetcher: Fetcher, server: RedisServer) -> None:
    """With Delete the mailbox is empty, so all that comes is unknown."""
    with FakePop3() as fake:
        give_fake_secret(fetcher)
        fake.add(*mailgen.mails(30))
        spec = fake_spec(fake.port, protocol="POP3", schedule=OFTEN, afterDownload={"action": "Delete"})
        fetcher.assign(assignment(spec))
        fetcher.caught_up(30)
        fetcher.assign()
        wait_until(lambda: fetcher.report() is None, what="the session has ended")
        fake.add(*mailgen.mails(150, start=30))
        fetcher.assign(assignment(spec))
        fetcher.caught_up(180)
        assert len(set(bodies(server.client()))) == 180


def test_a_changed_password_counts_at_the_next_round(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(2))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.pop3(schedule={"interval": "1s"})))
    fetcher.caught_up(2)
    account.dovecot.add_user(account.user, "another password")
    account.give_secrets(fetcher)
    account.dovecot.deliver(account.user, mailgen.make_mail(2))
    fetcher.caught_up(3)


def test_the_checker_agrees(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(40))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.pop3()))
    fetcher.caught_up(40)
    found = checker.read_stream(server.client(), "mail:{helpdesk/support}:queue")
    assert all(entry.claims_hold for entry in found)
    assert len({entry.id for entry in found}) == 40
