"""Bodies of large mails whose entry is gone (`store.md`, 31)."""

from mailfetch_fetcher.store import sweep as sweep_module
from mailfetch_fetcher.store.blob import TTL_MS
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import QueuePolicy
from tests.integration.store.helpers import STREAM, Store, batch, mail


def commit_large(mailbox: Mailbox, *uids: int) -> None:
    mails = []
    for uid in uids:
        writer = mailbox.start_blob()
        writer.append(b"x" * 1000)
        mails.append(mail(uid, body=writer.finish(), action=None))
    mailbox.commit(batch(*mails))


def blobs(store: Store) -> int:
    return sum(1 for _ in store.client.scan_iter(STREAM.blob("*")))


def test_what_a_consumer_deleted_goes_with_its_body(store: Store) -> None:
    mailbox = store.opened()
    commit_large(mailbox, 1, 2, 3)
    ids = store.ids()
    store.client.xdel(STREAM.queue, ids[0], ids[2])
    mailbox.trim()
    (kept,) = store.entries()
    assert blobs(store) == 1
    assert store.client.strlen(kept["blob"]) == 1000
    assert store.client.hvals(STREAM.blobs) == [ids[1].encode()]


def test_a_body_on_its_way_is_left_alone(store: Store) -> None:
    mailbox = store.opened()
    writer = mailbox.start_blob()
    writer.append(b"x" * 1000)
    mailbox.trim()
    assert store.client.strlen(writer.key) == 1000
    assert 0 < store.client.pttl(writer.key) <= TTL_MS
    mailbox.commit(batch(mail(1, body=writer.finish())))
    mailbox.trim()
    assert blobs(store) == 1


def test_what_a_crash_left_between_entry_and_body_goes(store: Store) -> None:
    """Trimming removes entries first."""
    mailbox = store.opened(policy=QueuePolicy(consumer_groups=("tickets",), queue_seconds=0))
    commit_large(mailbox, 1)
    store.client.delete(STREAM.queue)
    mailbox.trim()
    assert blobs(store) == 0
    assert not store.client.exists(STREAM.blobs)


def test_one_call_looks_at_a_part_and_all_come_round(store: Store) -> None:
    mailbox = store.opened()
    count = 5 * sweep_module.COUNT
    mailbox.commit(batch(mail(1, action=None)))
    for i in range(count):
        store.client.hset(STREAM.blobs, f"{i:032x}", "1-1")
        store.client.set(STREAM.blob(f"{i:032x}"), "x")
    mailbox.trim()
    left = blobs(store)
    assert 0 < left < count
    for _ in range(20):
        mailbox.trim()
    assert blobs(store) == 0
