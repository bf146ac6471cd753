"""`tools purge`: what goes, what stays, and that nothing of it surprises a consumer."""

import pytest

from mailfetch_fetcher.store.model import Batch, QueuePolicy
from mailfetch_fetcher.tools import opened as opened_module
from mailfetch_fetcher.tools import purge as purge_module
from tests.integration.store.helpers import KEYS, SEEN, STREAM, Store, open_new, quarantined
from tests.integration.tools.helpers import (
    DELETE,
    GROUP,
    POLICY,
    Tools,
    end,
    filled,
    large,
    letter,
    mark_of,
    mixed,
    read,
)

NOW = "2100-01-01T00:00:00Z"


def subjects(store: Store) -> list[str]:
    return [entry["subject"] for entry in store.entries()]


def one_of_each(store: Store) -> list[str]:
    """1 Done, 2 Filtered, 3 Failed, 4 Processing, 5 New; the entries."""
    mailbox = mixed(store)
    mailbox.commit(Batch(mails=[letter(5)], cursor="1700000000/5"))
    return store.ids()


def test_a_named_mail_goes_with_all_that_hangs_on_it(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    large(mailbox, 2, b"x" * 100_000)
    _, second = read(store)
    end(store.client, second, "Failed", "?")
    assert tools.json("purge", "2@example.com") == {"matched": 1, "purged": 1, "kept": 0, "why": ""}
    assert subjects(store) == ["subject 1"]
    assert list(store.client.scan_iter(STREAM.blob("*"))) == []
    assert store.client.hlen(STREAM.blobs) == 0
    assert mark_of(store, second) is None


@pytest.mark.parametrize("uid", [1, 2, 3, 4, 5])
def test_named_mails_go_in_any_state(store: Store, tools: Tools, uid: int) -> None:
    entry = one_of_each(store)[uid - 1]
    assert tools.json("purge", entry, f"{uid}@example.com")["purged"] == 1
    assert f"subject {uid}" not in subjects(store)
    assert len(subjects(store)) == 4


def test_a_dry_run_removes_nothing(store: Store, tools: Tools) -> None:
    one_of_each(store)
    before = store.snapshot()
    assert tools.json("purge", "1@example.com", "--dry-run")["purged"] == 1
    assert tools.json("purge", "--search", "subject", "--dry-run")["purged"] == 1
    assert tools.json("purge", "--log", "--search", "subject", "--dry-run")["purged"] == 8
    assert store.snapshot() == before


def test_in_bulk_what_somebody_needs_stays(store: Store, tools: Tools) -> None:
    one_of_each(store)
    answer = tools.json("purge", "--before", NOW)
    assert (answer["matched"], answer["purged"], answer["kept"]) == (5, 1, 4)
    assert set(answer["why"].split("; ")) == {
        "1 Filtered, waiting for people (--state filtered removes them)",
        "1 Failed, waiting for people (--state failed removes them)",
        "1 not acknowledged by consumer group tickets",
        "1 not yet delivered to consumer group tickets",
    }
    assert subjects(store) == ["subject 2", "subject 3", "subject 4", "subject 5"]


def test_in_bulk_what_an_action_needs_stays(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, 2, action=DELETE)
    for entry in read(store):
        end(store.client, entry, "Filtered", "newsletter")
    mailbox.commit(Batch(mails=[letter(3, action=None)], cursor="1700000000/3"))
    end(store.client, read(store)[0], "Processed")
    answer = tools.json("purge", "--connection", "inbox")
    assert (answer["purged"], answer["kept"]) == (1, 2)
    assert answer["why"] == "2 needed by an after-download action of connection inbox"
    assert subjects(store) == ["subject 1", "subject 2"]
    assert tools.json("purge", "--state", "Filtered")["purged"] == 2  # people said so
    assert mailbox.due_actions(group=GROUP).actions == []  # nothing is deleted in the mailbox for that


@pytest.mark.parametrize(
    ("state", "left"),
    [("Done", {2, 3, 4, 5}), ("Filtered", {1, 3, 4, 5}), ("Processing", {1, 2, 3, 5}), ("New", {1, 2, 3, 4})],
)
def test_a_state_that_is_named_goes(store: Store, tools: Tools, state: str, left: set[int]) -> None:
    one_of_each(store)
    assert tools.json("purge", "--state", state) == {"matched": 1, "purged": 1, "kept": 0, "why": ""}
    assert subjects(store) == [f"subject {uid}" for uid in sorted(left)]


def test_filters_are_combined(store: Store, tools: Tools) -> None:
    one_of_each(store)
    assert tools.json("purge", "--state", "Done", "--search", "subject 2")["matched"] == 0
    assert tools.json("purge", "--state", "Done", "--before", "2020-01-01T00:00:00Z")["matched"] == 0
    assert tools.json("purge", "--state", "Done", "--connection", "other")["matched"] == 0
    assert tools.json("purge", "--state", "Failed", "--state", "Filtered", "--search", "SUBJECT")["purged"] == 2


def test_pages_of_mails_and_actions(store: Store, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (opened_module, purge_module):
        monkeypatch.setattr(module, "ENTRIES", 7, raising=False)
        monkeypatch.setattr(module, "LINES", 7, raising=False)
    filled(store, *range(1, 41), action=SEEN)
    for entry in read(store, 40):
        end(store.client, entry, "Processed")
    assert tools.json("purge", "--state", "Done", "--search", "subject 1", "--dry-run")["matched"] == 11
    assert tools.json("purge", "--before", NOW)["kept"] == 40
    store.client.delete(KEYS.outbox)
    assert tools.json("purge", "--before", NOW)["purged"] == 40
    assert store.ids() == []


def test_a_consumer_at_work_is_not_surprised(store: Store, tools: Tools) -> None:
    one_of_each(store)
    (_, _, _, working, _) = store.ids()
    tools.json("purge", working)
    assert store.client.xpending(STREAM.queue, GROUP)["pending"] == 0
    before = store.snapshot()
    assert end(store.client, working, "Processed") == "NotPending"
    assert store.snapshot() == before
    assert store.client.xreadgroup(GROUP, "w", {STREAM.queue: "0"})[0][1] == []
    assert len(read(store)) == 1


def test_what_downloading_stands_on_is_left_alone(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, 2, action=SEEN)
    own = [key for key in store.snapshot() if key.startswith(KEYS.prefix)]
    before = {key: store.snapshot()[key] for key in own}
    tools.json("purge", "--state", "New")
    tools.json("purge", "--log", "--before", NOW)
    assert {key: store.snapshot()[key] for key in own} == before
    assert (store.ids(), store.log()) == ([], [])
    mailbox.commit(Batch(mails=[letter(3)], cursor="1700000000/3"))
    assert subjects(store) == ["subject 3"]


def test_quarantine_is_not_queue(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    mailbox.commit(Batch(quarantine=[quarantined(9)]))
    answer = tools.json("purge", "1700000000/9")
    assert (answer["matched"], answer["purged"], answer["kept"]) == (1, 0, 1)
    assert "kubectl mailfetch refetch inbox quarantined" in answer["why"]
    assert tools.json("purge", "--state", "Quarantined")["matched"] == 0


def test_a_name_that_is_wrong_stops_all(store: Store, tools: Tools) -> None:
    filled(store, 1)
    code, _ = tools.error("purge", "1@example.com", "nothing")
    assert code == 3
    assert subjects(store) == ["subject 1"]


def test_other_connections_of_the_stream_lose_nothing(store: Store, tools: Tools) -> None:
    filled(store, 1)
    other = store.mailbox(keys=STREAM.connection("second"), policy=POLICY)
    open_new(other)
    other.commit(Batch(mails=[letter(2)], cursor="1700000000/2"))
    assert tools.json("purge", "--connection", "second", "--state", "New")["purged"] == 1
    assert tools.json("purge", "--log", "--connection", "second")["purged"] == 1
    assert subjects(store) == ["subject 1"]
    assert {line["connection"] for line in store.log()} == {"inbox"}


def test_lines_of_the_log_go_by_time_and_text(store: Store, tools: Tools) -> None:
    filled(store, 1)
    for at, step in (("4102444800000-0", "early"), ("4102444801000-0", "late")):
        store.client.xadd(STREAM.log, {"step": step}, id=at)
    assert tools.json("purge", "--log", "--before", "2100-01-01T00:00:01Z")["purged"] == 2
    assert [line["step"] for line in store.log()] == ["late"]
    assert tools.json("purge", "--log", "--search", "LATE") == {"matched": 1, "purged": 1, "kept": 0, "why": ""}
    assert subjects(store) == ["subject 1"]


def test_full_memory_does_not_hinder_it(store: Store, tools: Tools) -> None:
    one_of_each(store)
    store.client.config_set("maxmemory", 100_000)
    assert tools.json("purge", "--state", "Done")["purged"] == 1


def test_without_a_group_in_bulk_everything_stays(store: Store, tools: Tools) -> None:
    filled(store, 1, policy=QueuePolicy())
    answer = tools.json("purge", "--before", NOW)
    assert (answer["kept"], answer["why"]) == (1, "1 not delivered to anybody")
