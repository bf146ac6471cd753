"""The server numbers its mails anew: what is known is recognised, only the rest is downloaded."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch
from tests.integration.fetcher.helpers import (
    NAMESPACE,
    Account,
    Fetcher,
    KillableFetcher,
    assignment,
    bodies,
    entries,
    fake_spec,
    fetcher_on,
    give_fake_secret,
    log_steps,
)
from tests.servers import checker, mailgen
from tests.servers.imapfake import FakeFolder, FakeImap
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

KEYS = StreamKeys(namespace=NAMESPACE, stream="support").connection("support")


def state(server: RedisServer, field: str) -> str:
    client: Any = server.client()
    return str((client.hget(KEYS.state, field) or b"").decode())


def leave(fetcher: Fetcher) -> None:
    """The connection goes, its state stays."""
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="the session has ended")


def test_only_new_mails_are_downloaded(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(300))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(300)
    leave(fetcher)
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.fill(account.user, mailgen.mails(7, start=300))
    fetcher.assign(assignment(account.spec()))
    report = fetcher.caught_up(307)
    assert report.uid_validity == "4711"
    assert "300 mails were recognised and 7 downloaded" in fetcher.noticed("MailboxReset")
    assert sorted(bodies(server.client())) == account.stored()
    assert all(flags == {"\\seen"} for flags in account.dovecot.flags(account.user).values())
    assert (state(server, "phase"), state(server, "cursor")) == ("Steady", "4711:307")
    assert len(log_steps(server.client(), "reset")) == 2
    for n in range(307, 309):  # and it goes on as ever, also in the next session
        account.dovecot.deliver(account.user, mailgen.make_mail(n))
        fetcher.caught_up(n + 1)
    leave(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(309)
    assert len(log_steps(server.client(), "reset")) == 2


def test_mails_that_look_the_same_are_told_by_their_number(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    """Monitoring mails: three are known, two more come under a new UIDVALIDITY."""
    same = b"From: monitor@sender.test\r\nSubject: up\r\n\r\nup\r\n"
    account.dovecot.fill(account.user, [same] * 3)
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(3)
    leave(fetcher)
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.fill(account.user, [same] * 2)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(5)
    leave(fetcher)
    account.dovecot.set_uid_validity(account.user, 4712)
    fetcher.assign(assignment(account.spec()))
    fetcher.noticed("MailboxReset")
    fetcher.wait_for(lambda r: r.phase == "Listening" and r.uid_validity == "4712")
    assert len(bodies(server.client())) == 5


def test_pending_actions_go_on_under_the_new_numbers(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    server.client().config_set("maxmemory-policy", "allkeys-lru")  # holds all actions
    account.dovecot.fill(account.user, mailgen.mails(50))
    account.give_secrets(fetcher)
    spec = account.spec(afterDownload={"action": "Delete"}, schedule={"interval": "300ms"})
    fetcher.assign(assignment(spec))
    fetcher.wait_for(lambda r: r.actions.reason == "StoreUnsafe" and r.actions.pending == 50)
    leave(fetcher)
    account.dovecot.expunge(account.user, 10)  # somebody else was faster
    account.dovecot.set_uid_validity(account.user, 4711)
    fetcher.assign(assignment(spec))
    assert "49 after-download actions go on, 1 were dropped" in fetcher.noticed("MailboxReset")
    members: Any = server.client().zrange(KEYS.outbox, 0, -1)
    assert {member.split(b"/")[0] for member in members} == {b"4711"}
    assert len(account.stored()) == 49
    server.client().config_set("maxmemory-policy", "noeviction")
    fetcher.wait_for(lambda r: r.actions.reason == "Done" and not r.actions.pending)
    assert account.stored() == []
    assert len(bodies(server.client())) == 50


def test_a_flood_of_old_mails_waits_for_people(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """A migration wrote all dates anew, so nothing is recognised."""
    named = [mail for mail in mailgen.mails(150) if b"\nmessage-id:" in mail.lower()]  # the others have no date to lose
    account.dovecot.fill(account.user, named)
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    state_id = fetcher.caught_up(len(named)).state_id
    leave(fetcher)
    account.dovecot.doveadm("expunge", "-u", account.user, "mailbox", "INBOX", "all")
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.fill(account.user, named, received=mailgen.FIRST_DATE + timedelta(days=100))
    fetcher.assign(assignment(account.spec(), state_id=state_id))
    report = fetcher.wait_for(lambda r: r.phase == "Waiting")
    assert report.gate == "MailboxReset"
    assert f"{len(named)} would be downloaded" in report.gate_message
    assert "spec.approval.maxMessages (100)" in report.gate_message
    assert state(server, "phase") == "Reset 4711"
    assert len(bodies(server.client())) == len(named)
    fetcher.assign(assignment(account.spec(), state_id=state_id, gate_epoch=2))
    fetcher.caught_up(2 * len(named))
    assert (state(server, "phase"), state(server, "gateEpoch")) == ("Steady", "2")
    assert sorted(bodies(server.client())[len(named) :]) == account.stored()


def test_uids_that_are_used_again_are_noticed(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """The folder was made anew under the same UIDVALIDITY: other mails have the UIDs of those that were downloaded."""
    account.dovecot.create_folder(account.user, "Work")
    account.dovecot.fill(account.user, mailgen.mails(10), folder="Work")
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(folder="Work")))
    uid_validity = int(fetcher.caught_up(10).uid_validity)
    leave(fetcher)
    account.dovecot.delete_folder(account.user, "Work")
    account.dovecot.create_folder(account.user, "Work")
    account.dovecot.set_uid_validity(account.user, uid_validity, folder="Work")
    account.dovecot.fill(account.user, mailgen.mails(12, start=100), folder="Work")
    fetcher.assign(assignment(account.spec(folder="Work")))
    fetcher.caught_up(22)
    found = checker.read_mailbox(account.mailbox("Work"))
    assert sorted(bodies(server.client())[10:]) == sorted(original.sha256 for original in found.values())
    assert len({entry["id"] for entry in entries(server.client())}) == 22  # or consumers would drop the new ones


def test_a_mailbox_that_went_back_goes_on(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """Restored from a backup: its last mails are missing, and the next ones get UIDs that were used already."""
    account.dovecot.create_folder(account.user, "Work")
    mails = account.dovecot.fill(account.user, mailgen.mails(10), folder="Work")
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(folder="Work")))
    uid_validity = int(fetcher.caught_up(10).uid_validity)
    leave(fetcher)
    account.dovecot.delete_folder(account.user, "Work")
    account.dovecot.create_folder(account.user, "Work")
    account.dovecot.set_uid_validity(account.user, uid_validity, folder="Work")
    account.dovecot.fill(account.user, mails[:6], folder="Work")
    fetcher.assign(assignment(account.spec(folder="Work")))
    assert "6 mails were recognised and 0 downloaded" in fetcher.noticed("MailboxReset")
    fetcher.wait_for(lambda r: r.phase == "Listening")
    account.dovecot.deliver(account.user, mailgen.make_mail(50), folder="Work")
    fetcher.caught_up(11)
    assert len(set(bodies(server.client()))) == 11


def test_a_mailbox_that_is_not_there_for_a_while(fetcher: Fetcher, server: RedisServer) -> None:
    """Its storage is not mounted, and the server makes an empty one, into which a mail comes; then it is back."""
    give_fake_secret(fetcher)
    with FakeImap() as fake:
        for n in range(50):
            fake.inbox.add(mailgen.make_mail(n))
        spec = fake_spec(fake.port)
        fetcher.assign(assignment(spec))
        fetcher.caught_up(50)
        leave(fetcher)
        whole, fake.folders["INBOX"] = fake.inbox, FakeFolder(uid_validity=77)
        fake.inbox.add(mailgen.make_mail(50))
        fetcher.assign(assignment(spec))
        fetcher.caught_up(51)
        leave(fetcher)
        fake.folders["INBOX"] = whole
        fake.inbox.add(mailgen.make_mail(51))
        fetcher.assign(assignment(spec))
        fetcher.caught_up(52)
        assert "50 mails were recognised and 1 downloaded" in fetcher.noticed("MailboxReset")
    assert len(set(bodies(server.client()))) == len(bodies(server.client())) == 52


def test_a_mail_that_cannot_be_had_makes_no_other_come_twice(
    fetcher: Fetcher, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk is repeated without it, while the commits of the first one are slow."""
    commit = Mailbox.commit

    def slowly(self: Mailbox, batch: Batch) -> None:
        time.sleep(0.3 if batch.mails else 0.0)
        commit(self, batch)

    give_fake_secret(fetcher)
    with FakeImap() as fake:
        for n in range(5):
            fake.inbox.add(mailgen.make_mail(n))
        fetcher.assign(assignment(fake_spec(fake.port)))
        fetcher.caught_up(5)
        leave(fetcher)
        monkeypatch.setattr(Mailbox, "commit", slowly)
        for n in range(5, 15):
            fake.inbox.add(mailgen.make_mail(n))
        fake.inbox.uid_validity, fake.quirks.refused = 2, {8}
        fetcher.assign(assignment(fake_spec(fake.port)))
        fetcher.wait_for(lambda r: r.phase == "Polling" and r.messages == 14)
    assert len(set(bodies(server.client()))) == len(bodies(server.client())) == 14


def test_old_mails_that_were_never_wanted_stay_unwanted(
    fetcher: Fetcher, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(20))
    account.give_secrets(fetcher)
    spec = account.spec(backlog={"startFrom": "Now"})
    fetcher.assign(assignment(spec))
    fetcher.wait_for(lambda r: r.phase == "Listening")
    account.dovecot.deliver(account.user, mailgen.make_mail(20))
    fetcher.caught_up(1)
    leave(fetcher)
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.deliver(account.user, mailgen.make_mail(21))
    with account.dovecot.client(account.user, folder="INBOX") as imap:  # moved in meanwhile, with the date of old
        imap.append("INBOX", "", '"01-Jan-2020 00:00:00 +0000"', mailgen.make_mail(22))
    fetcher.assign(assignment(spec))
    fetcher.caught_up(3)
    assert "21 mails were recognised and 2 downloaded" in fetcher.noticed("MailboxReset")
    assert len(bodies(server.client())) == 3


# ---- faults ----

LARGE = 100_000


@pytest.fixture
def slowly(account: Account) -> Any:
    """The account behind a proxy that can be slow, with 60 known mails and 30 large new ones under other numbers."""
    with FaultProxy(account.dovecot.imaps_port) as proxy:
        yield proxy


def large_mails() -> list[bytes]:
    return [mailgen.large_mail(LARGE, seed=n) for n in range(30)]


def test_a_kill_in_the_middle(tmp_path: Path, server: RedisServer, account: Account, slowly: FaultProxy) -> None:
    account.dovecot.fill(account.user, mailgen.mails(60))
    spec = account.spec(server={"host": "127.0.0.1", "port": slowly.port})
    with KillableFetcher(tmp_path / "k", server.url) as pod:
        account.give_secrets(pod)
        pod.assign(assignment(spec))
        wait_until(
            lambda: server.client().zcard(KEYS.outbox) == 0 and len(bodies(server.client())) == 60, what="60 mails"
        )
        pod.kill()
        account.dovecot.set_uid_validity(account.user, 4711)
        account.dovecot.fill(account.user, large_mails())
        slowly.delay = 0.05
        pod.start()
        wait_until(lambda: len(bodies(server.client())) > 60, what="some of the new mails")
        pod.kill()
        assert state(server, "phase") == "Reset 4711"
        assert 60 < len(bodies(server.client())) < 90
        slowly.delay = 0.0
        pod.start()
        wait_until(lambda: state(server, "phase") == "Steady", what="the end of the reset")
        wait_until(lambda: not server.client().zcard(KEYS.outbox), what="the end of the actions")
    assert sorted(bodies(server.client())) == account.stored()
    assert len(set(bodies(server.client()))) == 90
    assert all(flags == {"\\seen"} for flags in account.dovecot.flags(account.user).values())


def test_the_numbers_change_again_in_the_middle(
    tmp_path: Path, server: RedisServer, account: Account, slowly: FaultProxy
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(60))
    spec = account.spec(server={"host": "127.0.0.1", "port": slowly.port})
    with fetcher_on(tmp_path / "pod", server.url) as fetcher:
        account.give_secrets(fetcher)
        fetcher.assign(assignment(spec))
        fetcher.caught_up(60)
        leave(fetcher)
        account.dovecot.set_uid_validity(account.user, 4711)
        account.dovecot.fill(account.user, large_mails())
        slowly.delay = 0.05
        fetcher.assign(assignment(spec))
        wait_until(lambda: len(bodies(server.client())) > 60, what="some of the new mails")
        account.dovecot.set_uid_validity(account.user, 4712)
        slowly.cut()
        assert state(server, "phase") == "Reset 4711"
        slowly.delay = 0.0
        fetcher.caught_up(90)
        assert state(server, "phase") == "Steady"
        assert state(server, "cursor").startswith("4712:")
    assert sorted(bodies(server.client())) == account.stored()
    assert all(flags == {"\\seen"} for flags in account.dovecot.flags(account.user).values())
