"""Large bodies: written before their commit, complete or not at all."""

import pytest

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.model import QueuePolicy
from tests.integration.store.helpers import STREAM, Store, batch, mail, open_new
from tests.servers.proxy import FaultProxy

PARTS = [b"a" * 70_000, b"b" * 70_000, b"c" * 10]


def blob_keys(store: Store) -> list[bytes]:
    return list(store.client.scan_iter(STREAM.blob("*")))


def test_a_blob_lives_on_after_its_commit_and_is_listed(store: Store) -> None:
    mailbox = store.opened()
    writer = mailbox.start_blob()
    for part in PARTS:
        writer.append(part)
        (key,) = blob_keys(store)
        assert store.client.pttl(key) > 500_000
    blob = writer.finish()
    assert blob.size == 140_010
    mailbox.commit(batch(mail(1), mail(2, body=blob), mail(3)))
    entry = store.entries()[1]
    assert "raw" not in entry
    assert list(entry)[-1] == "blob"
    assert entry["size"] == "140010"
    assert store.client.get(entry["blob"]) == b"".join(PARTS)
    assert store.client.pttl(entry["blob"]) == -1
    assert store.client.hgetall(STREAM.blobs) == {blob.blob_id.encode(): store.ids()[1].encode()}


@pytest.mark.parametrize("damage", ["short", "long", "gone"])
def test_a_damaged_blob_stops_the_commit(store: Store, damage: str) -> None:
    mailbox = store.opened()
    writer = mailbox.start_blob()
    writer.append(PARTS[0])
    blob = writer.finish()
    (key,) = blob_keys(store)
    if damage == "short":
        store.client.set(key, b"a" * 69_999, keepttl=True)
    elif damage == "long":
        store.client.append(key, b"a")
    else:
        store.client.delete(key)
    before = store.snapshot()
    with pytest.raises(StoreError, match="downloaded again") as failure:
        mailbox.commit(batch(mail(1), mail(2, body=blob)))
    assert failure.value.reason == "StoreUnavailable"
    assert store.snapshot() == before


@pytest.mark.parametrize("damage", ["short", "gone", "doubled"])
def test_a_part_is_only_added_to_what_was_written_before(store: Store, damage: str) -> None:
    mailbox = store.opened()
    writer = mailbox.start_blob()
    writer.append(PARTS[0])
    (key,) = blob_keys(store)
    if damage == "short":
        store.client.set(key, b"a", keepttl=True)
    elif damage == "gone":
        store.client.delete(key)
    else:
        store.client.append(key, PARTS[0])
    with pytest.raises(StoreError, match="downloaded again"):
        writer.append(PARTS[1])
    assert blob_keys(store) == []


def test_a_lost_reply_abandons_the_blob(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    writer = mailbox.start_blob()
    writer.append(PARTS[0])
    proxy.lose_reply_to(b"b" * 50)
    with pytest.raises(StoreError, match="no connection"):
        writer.append(PARTS[1])
    with pytest.raises(StoreError):  # never on a new connection
        writer.append(PARTS[1])
    (left,) = blob_keys(store)
    assert store.client.pttl(left) > 0  # it goes by itself
    again = store.mailbox()
    open_new(again)
    writer = again.start_blob()
    for part in PARTS:
        writer.append(part)
    again.commit(batch(mail(1, body=writer.finish())))
    (entry,) = store.entries()
    assert entry["blob"] != left.decode()
    assert store.client.get(entry["blob"]) == b"".join(PARTS)


def test_closing_removes_what_was_not_committed_and_nothing_else(store: Store) -> None:
    mailbox = store.opened()
    first = mailbox.start_blob()
    first.append(PARTS[0])
    mailbox.commit(batch(mail(1, body=first.finish())))
    mailbox.start_blob().append(PARTS[1])
    mailbox.close(release=True)
    assert [key.decode() for key in blob_keys(store)] == [store.entries()[0]["blob"]]


def test_closing_never_removes_a_blob_whose_commit_went_in_unnoticed(store: Store) -> None:
    mailbox = store.opened()
    writer = mailbox.start_blob()
    writer.append(PARTS[0])
    blob = writer.finish()
    assert mailbox._writer
    mailbox._writer.link.call("PERSIST", STREAM.blob(blob.blob_id))  # what a commit does, its reply lost
    mailbox.close(release=True)
    assert store.client.strlen(STREAM.blob(blob.blob_id)) == 70_000


def test_each_attempt_has_an_id_of_its_own(store: Store) -> None:
    mailbox = store.opened()
    ids = {mailbox.start_blob().finish().blob_id for _ in range(20)}
    assert len(ids) == 20


def test_full_memory_is_said_with_the_size_and_leaves_no_blob(store: Store) -> None:
    mailbox = store.opened()
    writer = mailbox.start_blob()
    writer.append(PARTS[0])
    store.client.config_set("maxmemory", 100_000)  # less than an empty Redis needs
    with pytest.raises(StoreError, match="needs 140000 bytes") as failure:
        writer.append(PARTS[1])
    assert failure.value.reason == "QueueFull"
    assert blob_keys(store) == []


def test_when_memory_is_full_acknowledged_entries_make_room_for_a_part(store: Store) -> None:
    policy = QueuePolicy(consumer_groups=("tickets",))
    mailbox = store.opened(policy=policy)
    mailbox.commit(batch(*(mail(uid, body=b"x" * 60_000, action=None) for uid in range(1, 41))))
    store.client.xreadgroup("tickets", "worker", {STREAM.queue: ">"}, count=40, noack=True)
    writer = mailbox.start_blob()
    store.client.config_set("maxmemory", store.client.info("memory")["used_memory"] - 300_000)
    writer.append(PARTS[0])
    store.client.config_set("maxmemory", 0)
    mailbox.commit(batch(mail(41, body=writer.finish())))
    assert [e["uid"] for e in store.entries()] == ["41"]
