"""An after-download action is given out only when its mail is on the disk of Redis."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from tests.integration.store.helpers import KEYS, Store, batch, mail, open_new, store_on
from tests.servers.proxy import FaultProxy
from tests.servers.redis import Kind, RedisServer


@dataclass
class Seen:
    """What MONITOR saw: the connection and the words of each command, those inside scripts left out."""

    commands: list[tuple[str, list[str]]] = field(default_factory=list)


@contextmanager
def monitor(store: Store) -> Iterator[Seen]:
    seen = Seen()
    with store.client.monitor() as watch:
        yield seen
        store.client.echo("the end")
        for command in watch.listen():
            words = command["command"].split(" ")
            if words[0] == "ECHO":
                return
            if command["client_type"] != "lua" and words[0] != "CLIENT":  # CLIENT is how the looker introduces itself
                seen.commands.append((command["client_port"], words))


def settings_of(kind: Kind) -> dict[str, Any]:
    """With `always` nothing need be watched."""
    return {"kind": kind, "appendfsync": "always"}


@pytest.fixture
def server(kind: Kind) -> Iterator[RedisServer]:
    with RedisServer(**settings_of(kind)) as running:
        yield running


def no_wait(_: float) -> None:
    raise AssertionError("nothing to wait for")


def test_what_is_durable_is_given_out(store: Store) -> None:
    mailbox = store.opened(wait=no_wait)
    assert mailbox.due_actions().actions == []
    mailbox.commit(batch(mail(1), mail(2)))
    actions = mailbox.due_actions().actions
    assert [(a.uid_validity, a.uid, a.kind, a.phase) for a in actions] == [
        ("1700000000", 1, "MarkSeen", "pending"),
        ("1700000000", 2, "MarkSeen", "pending"),
    ]
    assert [a.entry for a in actions] == store.ids()
    assert [a.fingerprint for a in actions] == [mailbox.digest(b"<%d@example.com>" % uid) for uid in (1, 2)]
    assert [a.uid for a in mailbox.due_actions(1).actions] == [1]


def test_the_order_is_read_then_write_on_one_connection(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    barrier_before = int(store.client.get(KEYS.barrier) or 0)
    with monitor(store) as seen:
        assert mailbox.due_actions().actions
    assert len({port for port, _ in seen.commands}) == 1
    order = [words[0] for _, words in seen.commands if words[0] in ("ZRANGE", "EVAL")]
    assert order == ["ZRANGE", "EVAL"]
    assert int(store.client.get(KEYS.barrier)) == barrier_before + 1  # a real write


def test_an_empty_outbox_writes_nothing(store: Store) -> None:
    mailbox = store.opened()
    with monitor(store) as seen:
        assert mailbox.due_actions().actions == []
    assert [words[0] for _, words in seen.commands] == ["ZRANGE"]


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("appendfsync", "no", "appendfsync everysec"),
        ("appendonly", "no", "appendonly yes"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy noeviction"),
    ],
)
def test_an_unsafe_setting_holds_actions_and_downloading_goes_on(
    store: Store, setting: str, value: str, remedy: str
) -> None:
    mailbox = store.opened()
    assert mailbox.safety().ok
    store.client.config_set(setting, value)
    mailbox.commit(batch(mail(1)))
    assert mailbox.due_actions().actions == []
    assert not mailbox.safety().ok
    assert remedy in mailbox.safety().message
    mailbox.commit(batch(mail(2)))
    assert mailbox.outbox_size() == 2
    again = store.mailbox()
    open_new(again)
    assert not again.safety().ok  # known before the first action


def test_safe_again_means_given_out_again(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    good = store.client.config_get("appendfsync")["appendfsync"]
    store.client.config_set("appendfsync", "no")
    assert mailbox.due_actions().actions == []
    store.client.config_set("appendfsync", good)
    assert len(mailbox.due_actions().actions) == 1
    assert mailbox.safety().ok


@pytest.mark.parametrize("rule", ["-config", "-info"])
def test_settings_that_nobody_may_read_hold_actions(server: RedisServer, store: Store, rule: str) -> None:
    store.client.execute_command("ACL", "SETUSER", "fetcher", "on", ">secret", "~mail:*", "+@all", rule)
    mailbox = store.opened(url=f"redis://fetcher:secret@127.0.0.1:{server.port}/0")
    mailbox.commit(batch(mail(1)))
    assert mailbox.due_actions().actions == []
    assert "ACL SETUSER" in mailbox.safety().message
    assert len(store.entries()) == 1


def test_a_demoted_server_holds_actions(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreError, match="replica"):
        mailbox.due_actions()


def test_a_restart_between_reading_and_waiting_gives_out_nothing(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    mailbox.commit(batch(mail(1)))
    proxy.lose_reply_to(KEYS.barrier.encode())
    with pytest.raises(StoreError, match="no connection"):
        mailbox.due_actions()
    with pytest.raises(Fenced, match="ended"):  # what was read on the dead link is worth nothing
        mailbox.due_actions()


def test_two_servers_behind_one_address_are_noticed(kind: Kind, server: RedisServer, store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    with RedisServer(**settings_of(kind)) as other, store_on(other.url, other.client()) as elsewhere:
        there = elsewhere.opened()
        assert mailbox._writer
        assert there._writer
        mailbox._writer.link = there._writer.link  # as if the writer had been led to another server
        with pytest.raises(StoreError, match="another Redis"):
            mailbox.due_actions()


def test_a_lost_lease_gives_out_nothing(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    mailbox.commit(batch(mail(1)))
    store.client.delete(KEYS.lease)
    open_new(store.mailbox(pod="pod-2"))
    with pytest.raises(Fenced):
        mailbox.due_actions()


def test_a_barrier_confirms_the_lease(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    store.client.pexpire(KEYS.lease, 3_000)
    assert mailbox.due_actions().actions
    assert store.client.pttl(KEYS.lease) > 20_000


# -- everysec ------------------------------------------------------------------------------


@pytest.fixture
def everysec(kind: Kind) -> Iterator[Store]:
    with RedisServer(kind=kind, appendfsync="everysec") as server, store_on(server.url, server.client()) as made:
        yield made


def test_everysec_waits_until_an_fsync_was_seen(everysec: Store) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        time.sleep(seconds)

    mailbox = everysec.opened(wait=wait)
    mailbox.commit(batch(mail(1)))
    assert len(mailbox.due_actions().actions) == 1
    assert 1 <= len(waited) <= 5
    assert set(waited) == {2.1}


def test_everysec_gives_out_nothing_while_a_setting_becomes_unsafe(everysec: Store) -> None:
    mailbox = everysec.opened(wait=lambda _: everysec.client.config_set("appendfsync", "no"))
    mailbox.commit(batch(mail(1)))
    assert mailbox.due_actions().actions == []


def test_a_clock_that_was_set_back_holds_until_it_has_caught_up(everysec: Store) -> None:
    """The highest time counts only for the same server process: a restarted one writes to disk again."""
    mailbox = everysec.opened()
    mailbox.commit(batch(mail(1)))
    assert len(mailbox.due_actions().actions) == 1
    process, now = everysec.client.hget(KEYS.stats, "clock").decode().split(" ")
    everysec.client.hset(KEYS.stats, "clock", f"{process} {int(now) + 3_600_000}")
    assert mailbox.due_actions().actions == []
    assert "clock" in mailbox.safety().message
    everysec.client.hset(KEYS.stats, "clock", f"another {int(now) + 3_600_000}")
    assert len(mailbox.due_actions().actions) == 1
    assert mailbox.safety().ok
