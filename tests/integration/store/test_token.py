"""The sealed refresh token: kept by whoever owns the mailbox, read by all."""

import pytest

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.target import parse_target
from mailfetch_fetcher.store.token import MailboxToken, ReadToken
from tests.integration.store.helpers import KEYS, Store, open_new
from tests.servers.redis import RedisServer


def test_what_was_kept_last_is_read(store: Store) -> None:
    token = MailboxToken(store.opened())
    assert token.load() == b""
    token.save(b"\x01first\xff")
    token.save(b"\x01second\xff")
    assert token.load() == b"\x01second\xff"


def test_the_next_life_reads_it(store: Store) -> None:
    first = store.opened(pod="pod-1")
    MailboxToken(first).save(b"kept")
    first.close(release=True)
    later = store.mailbox(pod="pod-2")
    assert MailboxToken(later).load() == b"kept"  # also before it is open
    open_new(later)
    assert MailboxToken(later).load() == b"kept"


def test_a_mailbox_that_is_not_open_keeps_nothing(store: Store) -> None:
    MailboxToken(store.mailbox()).save(b"kept")
    assert not store.client.exists(KEYS.token)


def test_a_predecessor_keeps_nothing(store: Store) -> None:
    old = store.opened(pod="pod-1")
    new = store.mailbox(pod="pod-1")  # the same pod may take the lease
    open_new(new)
    MailboxToken(new).save(b"new")
    MailboxToken(old).save(b"old")
    assert store.client.get(KEYS.token) == b"new"


def test_a_probe_reads_and_keeps_nothing(store: Store, server: RedisServer) -> None:
    MailboxToken(store.opened()).save(b"kept")
    probe = ReadToken(lambda: parse_target(server.url, ca_file=None), KEYS)
    assert probe.load() == b"kept"
    probe.save(b"other")
    assert store.client.get(KEYS.token) == b"kept"


def test_a_probe_without_redis_knows_none(server: RedisServer) -> None:
    server.kill()
    assert ReadToken(lambda: parse_target(server.url, ca_file=None), KEYS).load() == b""


def test_a_session_without_redis_ends(store: Store, server: RedisServer) -> None:
    mailbox = store.opened()
    server.kill()
    with pytest.raises(StoreError):
        MailboxToken(mailbox).load()
