"""`tools requeue`: a copy of its own, and what waits for the acknowledgement of the old entry waits for the new one."""

import re
from typing import Any

import pytest

from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, QueuePolicy
from mailfetch_fetcher.tools.opened import Opened
from tests.integration.store.helpers import KEYS, STREAM, Store, quarantined
from tests.integration.tools.helpers import DELETE, GROUP, POLICY, Tools, end, filled, large, letter, mark_of, read
from tests.servers.proxy import FaultProxy

COPY = re.compile(r"[0-9a-f]{32}~[0-9a-f]{8}")


def put_aside(store: Store, *uids: int) -> Mailbox:
    """Mails whose deletion waits for the group, which has marked them Failed."""
    mailbox = filled(store, *uids, action=DELETE)
    mailbox.due_actions(group=GROUP)
    for entry in read(store):
        end(store.client, entry, "Failed", "no such customer")
    return mailbox


def may_be_deleted(mailbox: Mailbox) -> list[str]:
    return [action.entry for action in mailbox.due_actions(group=GROUP).actions]


def waits_for(store: Store) -> list[str]:
    return [member.split(" ")[4] for member in store.outbox()]


def why_refused(tools: Tools, ref: str) -> str:
    """Of a mail that is not requeued."""
    answer = tools.json("requeue", ref)
    assert answer["requeued"] == []
    (refused,) = answer["refused"]
    assert refused["ref"] == ref
    return str(refused["reason"])


def test_a_copy_enters_the_queue_and_the_mark_goes(store: Store, tools: Tools) -> None:
    filled(store, 1, 2)
    first, _ = read(store)
    end(store.client, first, "Filtered", "newsletter")
    old_id = store.entries()[0]["id"]
    answer = tools.json("requeue", first)
    (copied,) = answer["requeued"]
    assert answer["refused"] == []
    assert (copied["entry"], copied["id"]) == (first, old_id)
    assert COPY.fullmatch(copied["newId"])
    assert copied["newId"].startswith(old_id + "~")
    old, _, new = store.entries()
    assert store.ids()[-1] == copied["newEntry"]
    assert {**new, "id": "", "committed": ""} == {**old, "id": "", "committed": ""}
    assert new["id"] == copied["newId"]
    assert mark_of(store, first) is None
    assert tools.states() == {"subject 1": "New", "subject 2": "Processing"}
    assert read(store) == [copied["newEntry"]]


def test_it_is_told_in_the_log_of_both(store: Store, tools: Tools) -> None:
    put_aside(store, 1)
    (copied,) = tools.json("requeue", "1@example.com")["requeued"]
    for name, other in (("id", "newId"), ("newId", "id")):
        lines = tools.json("log", "--id", copied[name])["lines"]
        assert lines[0]["step"] == "requeued"
        assert copied[other] in lines[0]["detail"]


def test_the_mail_is_not_deleted_before_the_copy_is_handled(store: Store, tools: Tools) -> None:
    mailbox = put_aside(store, 1)
    (copied,) = tools.json("requeue", "1@example.com")["requeued"]
    assert waits_for(store) == [copied["newEntry"]]
    assert may_be_deleted(mailbox) == []
    (entry,) = read(store)
    assert may_be_deleted(mailbox) == []
    end(store.client, entry, "Processed")
    assert may_be_deleted(mailbox) == [entry]


def test_an_action_that_was_handed_out_is_fenced(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, action=DELETE)
    mailbox.due_actions(group=GROUP)
    end(store.client, read(store)[0], "Processed")
    assert len(may_be_deleted(mailbox)) == 1
    tools.json("requeue", "1@example.com")
    with pytest.raises(Exception, match="not in the outbox any more"):
        mailbox.confirm_lease()


def test_the_outbox_stays_in_the_order_of_the_entries(store: Store, tools: Tools) -> None:
    mailbox = put_aside(store, 1, 2, 3)
    for uid in (2, 1, 3):
        tools.json("requeue", store.entries()[uid - 1]["id"])
    mailbox.commit(Batch(mails=[letter(4, action=DELETE)], cursor="1700000000/4"))
    assert waits_for(store) == sorted(waits_for(store), key=lambda entry: tuple(map(int, entry.split("-"))))
    assert len(waits_for(store)) == 4
    # Retention looks at the first one only.
    ended = [end(store.client, entry, "Processed") for entry in read(store)]
    assert set(ended) == {"Ended"}
    oldest = waits_for(store)[0]
    mailbox.trim()
    assert store.ids()[0] == oldest


def test_the_order_holds_where_numbers_are_large(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, 2, 3, action=DELETE)
    store.client.hset(KEYS.state, "seq", 2**38)
    mailbox.close(release=True)
    again = store.mailbox(policy=POLICY)
    again.open(identity="sha256:mailbox", gate_epoch=1, create=True, state_id="", known_seq=0)
    again.commit(Batch(mails=[letter(4, action=DELETE)], cursor="1700000000/4"))
    for entry in read(store):
        end(store.client, entry, "Failed", "?")
    for uid in (3, 1, 2):
        tools.json("requeue", f"{uid}@example.com")
    again.commit(Batch(mails=[letter(5, action=DELETE)], cursor="1700000000/5"))
    assert [member.split(" ")[0] for member in store.outbox()] == [f"1700000000/{uid}" for uid in (4, 3, 1, 2, 5)]


def test_the_copy_of_a_large_mail_has_a_body_of_its_own(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    body = b"x" * 100_000
    large(mailbox, 2, body)
    for entry in read(store):
        end(store.client, entry, "Failed", "no such customer")
    (copied,) = tools.json("requeue", "2@example.com")["requeued"]
    assert tools.json("purge", "1@example.com", copied["entry"])["purged"] == 2
    assert tools.run("show", "--stream", "support", "--raw", copied["newId"])[1] == body
    (blob,) = store.client.scan_iter(STREAM.blob("*"))
    assert store.client.ttl(blob) == -1
    assert store.client.hgetall(STREAM.blobs) == {
        blob.removeprefix(STREAM.blob("").encode()): copied["newEntry"].encode()
    }
    mailbox.trim()  # and sweeps
    assert store.client.exists(blob)


def test_retention_takes_the_old_entry_and_not_the_copy(store: Store, tools: Tools) -> None:
    mailbox = put_aside(store, 1, 2)
    assert mailbox.trim() == 0
    (copied,) = tools.json("requeue", "1@example.com")["requeued"]
    assert mailbox.trim() == 1
    assert copied["newEntry"] in store.ids()
    tools.json("requeue", "2@example.com")
    assert mailbox.trim() == 1
    assert all(COPY.fullmatch(entry["id"]) for entry in store.entries())


def test_a_copy_can_be_copied(store: Store, tools: Tools) -> None:
    put_aside(store, 1)
    (first,) = tools.json("requeue", "1@example.com")["requeued"]
    end(store.client, read(store)[0], "Filtered", "?")
    (second,) = tools.json("requeue", first["newId"])["requeued"]
    assert COPY.fullmatch(second["newId"])
    assert second["newId"] != first["newId"]


def test_the_request_is_recognised_when_its_reply_was_lost(store: Store, tools: Tools, proxy: FaultProxy) -> None:
    put_aside(store, 1)
    tools.use(f"redis://127.0.0.1:{proxy.port}/0")
    proxy.lose_reply_to(b"once more as")
    (copied,) = tools.json("requeue", store.ids()[0])["requeued"]
    assert proxy.faults == 1
    assert store.ids()[1:] == [copied["newEntry"]]
    keys = set(store.client.scan_iter(STREAM.requeued("*")))
    assert keys == {STREAM.requeued(copied[name]).encode() for name in ("newId", "entry")}
    assert all(0 < store.client.ttl(key) <= 86_400 for key in keys)


def test_a_repeated_command_makes_no_second_copy(store: Store, tools: Tools) -> None:
    put_aside(store, 1)
    filled_id, entry = store.entries()[0]["id"], store.ids()[0]
    answer = tools.json("requeue", filled_id, entry)  # the same mail twice
    (copied,) = answer["requeued"]
    again = tools.json("requeue", filled_id)
    assert again["requeued"] == []
    for refused in (*answer["refused"], *again["refused"]):
        assert refused["reason"] == f"it was requeued already: its copy {copied['newEntry']} is in the queue"
    assert len(store.ids()) == 2


def test_an_old_mail_is_requeued_again_once_its_copy_is_gone(store: Store, tools: Tools) -> None:
    put_aside(store, 1)
    entry = store.ids()[0]
    (copied,) = tools.json("requeue", entry)["requeued"]
    tools.json("purge", copied["newId"])
    assert len(tools.json("requeue", entry)["requeued"]) == 1


@pytest.mark.parametrize("how", ["marked", "delivered too often"])
def test_an_old_mail_is_requeued_again_if_another_group_fails_with_it(store: Store, tools: Tools, how: str) -> None:
    filled(store, 1, policy=QueuePolicy(consumer_groups=(GROUP, "archive")))
    (entry,) = read(store)
    read(store, group="archive")
    end(store.client, entry, "Failed", "no such customer")
    assert len(tools.json("requeue", entry)["requeued"]) == 1
    if how == "marked":
        end(store.client, entry, "Failed", "disk full", group="archive")
    for _ in range(5 if how == "delivered too often" else 0):
        store.client.xclaim(STREAM.queue, "archive", "w", 0, [entry])
    assert len(tools.json("requeue", entry)["requeued"]) == 1


def test_one_failure_does_not_hide_what_was_done(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    large(mailbox, 2, b"x" * 100_000)
    mailbox.commit(Batch(mails=[letter(3)], cursor="1700000000/3"))
    entries = read(store)
    for entry in entries:
        end(store.client, entry, "Failed", "?")
    store.client.delete(store.entries()[1]["blob"])
    answer = tools.json("requeue", *entries)
    assert [one["entry"] for one in answer["requeued"]] == [entries[0], entries[2]]
    assert [one["ref"] for one in answer["refused"]] == [entries[1]]
    assert tools.json("requeue", *entries)["requeued"] == []
    assert len(store.ids()) == 5


def test_a_lost_link_does_not_hide_what_was_done(store: Store, tools: Tools, proxy: FaultProxy) -> None:
    put_aside(store, 1, 2, 3)
    entries = store.ids()
    tools.use(f"redis://127.0.0.1:{proxy.port}/0")
    requests = 0

    def close(self: Opened, script: str, *, keys: list[str], args: list[Any]) -> Any:
        nonlocal requests
        requests += script == scripts.REQUEUE
        if requests == 2:
            proxy.close()  # and nobody listens any more
        return run(self, script, keys=keys, args=args)

    run = Opened.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Opened, "run", close)
        answer = tools.json("requeue", *entries)
    assert [one["entry"] for one in answer["requeued"]] == [entries[0]]
    second, third = answer["refused"]
    assert (second["ref"], third["ref"]) == (entries[1], entries[2])
    assert second["reason"].startswith(
        "nobody knows whether it was (see kubectl mailfetch queue before you try again): "
    )
    assert third["reason"].startswith("not tried, as ")


def test_a_done_mail_may_be_handled_once_more(store: Store, tools: Tools) -> None:
    filled(store, 1)
    end(store.client, read(store)[0], "Processed")
    assert len(tools.json("requeue", "1@example.com")["requeued"]) == 1


def test_what_was_delivered_too_often_is_not_delivered_twice(store: Store, tools: Tools) -> None:
    filled(store, 1, policy=QueuePolicy(consumer_groups=(GROUP, "archive")))
    (entry,) = read(store)
    read(store, group="archive")
    for _ in range(5):
        store.client.xclaim(STREAM.queue, GROUP, "w", 0, [entry])
    assert len(tools.json("requeue", entry)["requeued"]) == 1
    assert store.client.xpending(STREAM.queue, GROUP)["pending"] == 0
    assert store.client.xpending(STREAM.queue, "archive")["pending"] == 1  # that one is at work


def test_what_cannot_be_requeued_is_refused_with_the_reason(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, 2)
    read(store, 1)
    mailbox.commit(Batch(quarantine=[quarantined(9)]))
    before = store.snapshot()
    refs = ["1@example.com", "2@example.com", "1700000000/9", "nothing"]
    answer = tools.json("requeue", *refs)
    assert answer["requeued"] == []
    assert [one["ref"] for one in answer["refused"]] == refs
    reasons = [one["reason"] for one in answer["refused"]]
    assert "consumer w of group tickets is handling it" in reasons[0]
    assert "it is New" in reasons[1]
    assert "kubectl mailfetch refetch inbox quarantined" in reasons[2]
    assert "there is no mail nothing" in reasons[3]
    assert store.snapshot() == before


def test_a_body_that_is_gone_is_told(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    large(mailbox, 2, b"x" * 100_000)
    for entry in read(store):
        end(store.client, entry, "Failed", "?")
    (blob,) = store.client.scan_iter(STREAM.blob("*"))
    store.client.delete(blob)
    before = store.snapshot()
    assert "gone from Redis or damaged" in why_refused(tools, "2@example.com")
    assert store.snapshot() == before


@pytest.mark.parametrize("size", [100, 100_000])
def test_full_memory_changes_nothing(store: Store, tools: Tools, size: int) -> None:
    mailbox = filled(store, 1)
    large(mailbox, 2, b"x" * size)
    for entry in read(store):
        end(store.client, entry, "Failed", "?")
    before = store.snapshot()
    store.client.config_set("maxmemory", 100_000)
    assert "maxmemory" in why_refused(tools, "2@example.com")
    assert store.snapshot() == before


def test_what_redis_refuses_half_way_is_undone(store: Store, tools: Tools) -> None:
    mailbox = put_aside(store, 1)
    large(mailbox, 2, b"x" * 100_000, action=DELETE)
    (entry,) = read(store)
    end(store.client, entry, "Failed", "?")
    user = "+@all ~* -hdel"  # the mark's removal comes last
    store.client.execute_command("ACL", "SETUSER", "half", "on", ">geheim", *user.split())
    before = store.snapshot()
    del before[STREAM.blobs]
    tools.use(f"redis://half:geheim@{store.url.removeprefix('redis://')}")
    assert "permission" in why_refused(tools, "2@example.com")
    left = store.snapshot()
    del left[STREAM.blobs]  # names a blob without an entry, which the sweeper removes
    assert left == before
