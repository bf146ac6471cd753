"""Mails come, once each, byte for byte, whatever their flags, size and names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mailfetch_fetcher.contract.assignment import fingerprint
from tests.integration.fetcher.helpers import NAMESPACE, Account, Fetcher, assignment, bodies, fetcher_on
from tests.servers import checker, mailgen
from tests.servers.dovecot import Dovecot
from tests.servers.redis import Kind, RedisServer, wait_until


@pytest.fixture(params=["redis", "valkey"])
def either(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(kind=cast("Kind", request.param)) as running:
        yield running


def test_the_first_download_takes_read_and_unread_mails(tmp_path: Path, either: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(250))
    with account.dovecot.client(account.user, folder="INBOX") as imap:
        imap.uid("STORE", "1:100", "+FLAGS", r"(\Seen)")
    with fetcher_on(tmp_path / "pod", either.url) as fetcher:
        account.give_secrets(fetcher)
        fetcher.assign(assignment(account.spec()))
        report = fetcher.caught_up(250)
        assert account.verdict(either.url, seen=True).ok
        assert (report.phase, report.lag, report.connected, report.problem) == ("Listening", 0, True, None)


def test_later_rounds_take_what_is_new_only(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(20))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(20)
    for n in range(20, 23):
        account.dovecot.deliver(account.user, mailgen.make_mail(n))
        fetcher.caught_up(n + 1)
    wait_until(lambda: account.verdict(server.url, seen=True).ok, what="all are seen")


def test_idle_does_not_wait_for_the_interval(fetcher: Fetcher, account: Account) -> None:
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))  # the interval is a day
    fetcher.wait_for(lambda r: r.phase == "Listening")
    account.dovecot.deliver(account.user, mailgen.make_mail(1))
    fetcher.caught_up(1)


def test_without_push_the_interval_finds_new_mail(fetcher: Fetcher, account: Account) -> None:
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(schedule={"interval": "100ms", "push": False})))
    fetcher.wait_for(lambda r: r.phase == "Polling")
    account.dovecot.deliver(account.user, mailgen.make_mail(1))
    assert fetcher.caught_up(1).phase == "Polling"


@pytest.mark.parametrize("size", [64 * 1024 + 1, 500_000, 600_000, 30_000_000])
def test_large_mails_stand_in_blobs(fetcher: Fetcher, server: RedisServer, account: Account, size: int) -> None:
    small, large = mailgen.make_mail(1), mailgen.large_mail(size)
    account.dovecot.fill(account.user, [small, large, mailgen.make_mail(2)])
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec()))
    fetcher.caught_up(3)
    assert account.verdict(server.url, seen=True).ok
    client: Any = server.client()
    entries = client.xrange(f"mail:{{{NAMESPACE}/support}}:queue")
    assert [b"blob" in fields for _, fields in entries] == [False, True, False]
    blob = entries[1][1][b"blob"]
    assert client.ttl(blob) == -1
    assert client.strlen(blob) == size


def test_names_and_passwords_of_any_script(fetcher: Fetcher, server: RedisServer, dovecot: Dovecot) -> None:
    account = Account(dovecot, "grüße@mail.test", "пароль 漢字 §€")
    dovecot.create_folder(account.user, "Rechnungen & Größe 請求書")
    mails = dovecot.fill(account.user, mailgen.mails(3), folder="Rechnungen & Größe 請求書")
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(folder="Rechnungen & Größe 請求書")))
    fetcher.caught_up(3)
    assert len(set(bodies(server.client()))) == len(mails)


def test_several_connections_share_a_stream(
    fetcher: Fetcher, server: RedisServer, account: Account, make_account: Any
) -> None:
    other = make_account()
    for n, one in enumerate((account, other)):
        one.dovecot.fill(one.user, mailgen.mails(30, seed=n))
    account.give_secrets(fetcher)
    queue = {"stream": "both"}
    fetcher.assign(assignment(account.spec(queue=queue), name="one"), assignment(other.spec(queue=queue), name="two"))
    for n, (name, one) in enumerate((("one", account), ("two", other))):
        fetcher.caught_up(30, name)
        verdict = checker.check(
            one.mailbox(), redis_url=server.url, stream=f"mail:{{{NAMESPACE}/both}}:queue", connection=name
        )
        assert verdict.ok, (n, verdict)


# ---- after the download ----


def test_none_touches_nothing(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(10))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(afterDownload={"action": "None"})))
    fetcher.caught_up(10)
    assert account.verdict(server.url).ok
    assert not any(account.dovecot.flags(account.user).values())


def test_delete(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(150))
    originals = checker.read_mailbox(account.mailbox())
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(afterDownload={"action": "Delete"})))
    fetcher.caught_up(150)
    assert sorted(bodies(server.client())) == sorted(o.sha256 for o in originals.values())
    assert checker.read_mailbox(account.mailbox()) == {}


def test_delete_spares_foreign_deleted_mails(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """Somebody flags a mail as deleted after we downloaded it under another action: only ours are expunged."""
    account.dovecot.fill(account.user, mailgen.mails(5))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(afterDownload={"action": "None"})))
    fetcher.caught_up(5)
    with account.dovecot.client(account.user, folder="INBOX") as imap:
        imap.uid("STORE", "2,4", "+FLAGS", r"(\Deleted)")
    changed = assignment(account.spec(afterDownload={"action": "Delete"}))
    fetcher.assign(changed)
    fetcher.wait_for(lambda r: r.fingerprint == fingerprint(changed) and r.phase == "Listening")
    account.dovecot.deliver(account.user, mailgen.make_mail(6))
    fetcher.caught_up(6)
    wait_until(lambda: set(account.dovecot.flags(account.user)) == {1, 2, 3, 4, 5}, what="only ours is gone")
    assert len(bodies(server.client())) == 6


def test_move(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(120))
    account.dovecot.create_folder(account.user, "Done/2026")
    originals = sorted(o.sha256 for o in checker.read_mailbox(account.mailbox()).values())
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(afterDownload={"action": "Move", "folder": "Done/2026"})))
    fetcher.caught_up(120)
    assert sorted(bodies(server.client())) == originals
    assert checker.read_mailbox(account.mailbox()) == {}
    assert sorted(o.sha256 for o in checker.read_mailbox(account.mailbox("Done/2026")).values()) == originals


def test_actions_of_an_earlier_spec_are_dropped(fetcher: Fetcher, server: RedisServer, account: Account) -> None:
    """Mails wait to be deleted; the spec changes to None: they stay."""
    server.client().config_set("maxmemory-policy", "allkeys-lru")  # holds all actions
    account.dovecot.fill(account.user, mailgen.mails(10))
    account.give_secrets(fetcher)
    fetcher.assign(assignment(account.spec(afterDownload={"action": "Delete"})))
    fetcher.wait_for(lambda r: r.actions.reason == "StoreUnsafe" and r.actions.pending == 10)
    server.client().config_set("maxmemory-policy", "noeviction")
    fetcher.assign(assignment(account.spec(afterDownload={"action": "None"})))
    fetcher.wait_for(lambda r: r.actions.reason == "Done" and r.phase == "Listening")
    assert server.client().zcard(f"mail:{{{NAMESPACE}/support}}:conn:support:outbox") == 0
    assert account.verdict(server.url).ok
