"""The script that a consumer ends a delivery with: acknowledgement, mark and log line at one moment, once."""

import json
import re
from typing import Any

import pytest
import redis

from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import QueuePolicy
from tests.integration.store.helpers import STREAM, Store
from tests.integration.tools.helpers import (
    DELETE,
    END,
    GROUP,
    ROOT,
    Tools,
    end,
    filled,
    last_line,
    mark_of,
    read,
)
from tests.servers.redis import RedisServer

PAGE = (ROOT / "docs/consumers.md").read_text()


def pending(store: Store) -> int:
    return int(store.client.xpending(STREAM.queue, GROUP)["pending"])


def deleted(mailbox: Mailbox) -> list[str]:
    """Entries whose mails may be deleted in the mailbox now."""
    return [action.entry for action in mailbox.due_actions(group=GROUP).actions]


def test_the_page_shows_the_file() -> None:
    shown = re.search(r"```lua\n(.*?)```", PAGE, re.DOTALL)
    assert shown
    assert shown[1] == END


@pytest.mark.parametrize(
    ("verdict", "category", "result", "step"),
    [
        ("Processed", "Process", "Succeeded", "processed"),
        ("Filtered", "Filter", "Skipped", "filtered"),
        ("Failed", "Process", "Error", "failed"),
    ],
)
def test_a_verdict_acknowledges_and_is_logged(
    store: Store, verdict: str, category: str, result: str, step: str
) -> None:
    filled(store, 1)
    (entry,) = read(store)
    mail = store.entries()[0]
    assert end(store.client, entry, verdict, "because") == "Ended"
    assert pending(store) == 0
    assert last_line(store) == {
        "category": category,
        "result": result,
        "step": step,
        "connection": "inbox",
        "execution": f"{GROUP}/{entry}/1",
        "consumer": "w",
        "entry": entry,
        "id": mail["id"],
        "message_id": "<1@example.com>",
        "from": "sender-1@example.com",
        "subject": "subject 1",
        "detail": "because",
    }
    mark = mark_of(store, entry)
    if verdict == "Processed":
        assert mark is None
    else:
        written = int(store.client.xrevrange(STREAM.log, count=1)[0][0].split(b"-")[0])
        assert mark == {GROUP: {"state": verdict, "why": "because", "at": written}}


@pytest.mark.parametrize("verdict", ["Processed", "Filtered", "Failed"])
def test_sent_twice_it_changes_nothing(store: Store, verdict: str) -> None:
    filled(store, 1, 2)
    entry, _ = read(store)
    end(store.client, entry, verdict, "because", "looked up", "in the list")
    before = store.snapshot()
    assert end(store.client, entry, verdict, "because", "looked up", "in the list") == "NotPending"
    assert end(store.client, entry, "Failed", "another verdict") == "NotPending"
    assert store.snapshot() == before


def test_the_mail_stays_in_the_mailbox_unless_it_was_processed(store: Store) -> None:
    mailbox = filled(store, 1, 2, 3, action=DELETE)
    mailbox.due_actions(group=GROUP)  # the group is known from before the mails were delivered
    first, second, third = read(store)
    end(store.client, first, "Filtered", "newsletter")
    end(store.client, second, "Processed")
    end(store.client, third, "Failed", "no such customer")
    assert deleted(mailbox) == [second]


def test_an_undelivered_mail_is_not_ended(store: Store) -> None:
    filled(store, 1)
    before = store.snapshot()
    assert end(store.client, store.ids()[0], "Processed") == "NotPending"
    assert store.snapshot() == before


def test_who_was_too_slow_does_not_decide(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store, consumer="slow")
    store.client.xclaim(STREAM.queue, GROUP, "fast", 0, [entry])
    before = store.snapshot()
    assert end(store.client, entry, "Failed", "late", consumer="slow") == "Taken"
    assert store.snapshot() == before
    assert end(store.client, entry, "Processed", consumer="fast") == "Ended"
    assert last_line(store)["execution"] == f"{GROUP}/{entry}/2"


def test_a_mail_that_people_removed_is_not_delivered_for_ever(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store)
    store.client.xdel(STREAM.queue, entry)
    lines = len(store.log())
    assert end(store.client, entry, "Failed", "?") == "Gone"
    assert pending(store) == 0
    assert (len(store.log()), mark_of(store, entry)) == (lines, None)


def test_steps_are_lines_of_the_same_attempt(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store)
    assert end(store.client, entry, "Step", "", "customer found", "no. 7") == "Written"
    assert pending(store) == 1
    assert end(store.client, entry, "Processed", "ticket 12", "attached", "2 files", "replied", "in German") == "Ended"
    lines = [line for line in store.log() if line.get("consumer")]
    assert [(line["step"], line["detail"]) for line in lines] == [
        ("customer found", "no. 7"),
        ("attached", "2 files"),
        ("replied", "in German"),
        ("processed", "ticket 12"),
    ]
    assert len({line["execution"] for line in lines}) == 1


def test_a_step_sent_twice_is_written_once_in_an_attempt(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store)
    end(store.client, entry, "Step", "", "customer found", "no. 7")
    before = store.snapshot()
    assert end(store.client, entry, "Step", "", "customer found", "no. 7") == "Repeated"
    assert store.snapshot() == before
    assert end(store.client, entry, "Step", "", "customer found", "no. 8") == "Written"
    store.client.xclaim(STREAM.queue, GROUP, "w", 0, [entry])
    assert end(store.client, entry, "Step", "", "customer found", "no. 8") == "Written"  # in a new attempt


def test_the_mark_of_another_group_stays(store: Store) -> None:
    filled(store, 1)
    store.client.xgroup_create(STREAM.queue, "archive", "0")
    (entry,) = read(store)
    read(store, group="archive")
    end(store.client, entry, "Failed", "no such customer")
    end(store.client, entry, "Processed", group="archive")
    assert mark_of(store, entry)[GROUP]["why"] == "no such customer"


def both(store: Store) -> str:
    """A mail that two groups have got."""
    filled(store, 1, policy=QueuePolicy(consumer_groups=(GROUP, "archive"), queue_seconds=0))
    read(store, group="archive")
    return read(store)[0]


@pytest.mark.parametrize("first", ["archive", GROUP])
def test_each_group_has_a_part_of_the_mark(store: Store, tools: Tools, first: str) -> None:
    entry = both(store)
    texts = {"archive": ("Failed", "disk full"), GROUP: ("Filtered", "newsletter")}
    for group in (first, *(texts.keys() - {first})):
        end(store.client, entry, *texts[group], group=group)
    mark = mark_of(store, entry)
    assert {group: (part["state"], part["why"]) for group, part in mark.items()} == texts
    (shown,) = tools.json("queue")["entries"]
    assert (shown["state"], shown["group"], shown["reason"]) == ("Failed", "archive", "disk full")
    assert tools.json("queue", "--state", "Failed")["counts"]["Failed"] == 1


def test_of_two_equal_verdicts_the_newer_is_shown(store: Store, tools: Tools) -> None:
    entry = both(store)
    parts = {
        group: {"state": "Failed", "why": group, "at": at}
        for group, at in (("a", 1_700_000_000_000), ("b", 1_800_000_000_000), ("c", 1_600_000_000_000))
    }
    store.client.hset(STREAM.marks, entry, json.dumps(parts))
    (shown,) = tools.json("queue")["entries"]
    assert (shown["group"], shown["reason"]) == ("b", "b")


def test_processed_takes_away_the_own_part_only(store: Store) -> None:
    entry = both(store)
    for group in (GROUP, "archive"):
        end(store.client, entry, "Failed", "no room", group=group)
    for group, left in (("archive", [GROUP]), (GROUP, None)):
        store.client.xclaim(STREAM.queue, group, "w", 0, [entry], force=True)
        assert end(store.client, entry, "Processed", group=group) == "Ended"
        mark = mark_of(store, entry)
        assert (mark if left is None else list(mark)) == left


def test_a_mail_that_another_group_failed_with_stays_everywhere(store: Store) -> None:
    """Even if a group that puts it aside, too, changes its mind."""
    policy = QueuePolicy(consumer_groups=(GROUP, "archive"), queue_seconds=0)
    mailbox = filled(store, 1, policy=policy, action=DELETE)
    mailbox.due_actions(group=GROUP)
    read(store, group="archive")
    (entry,) = read(store)
    end(store.client, entry, "Failed", "disk full", group="archive")
    end(store.client, entry, "Failed", "no such customer")
    store.client.xclaim(STREAM.queue, GROUP, "w", 0, [entry], force=True)
    end(store.client, entry, "Processed")
    assert deleted(mailbox) == []
    assert mailbox.trim() == 0
    store.client.xclaim(STREAM.queue, "archive", "w", 0, [entry], force=True)
    end(store.client, entry, "Processed", group="archive")
    assert deleted(mailbox) == [entry]


@pytest.mark.parametrize("mark", ["Failed", "not JSON", "5", "null"])
def test_a_mark_that_cannot_be_read_stays_when_the_mail_is_processed(store: Store, mark: str) -> None:
    filled(store, 1)
    (entry,) = read(store)
    store.client.hset(STREAM.marks, entry, mark)
    assert end(store.client, entry, "Processed") == "Ended"
    assert store.client.hget(STREAM.marks, entry) == mark.encode()


def test_the_own_mark_goes_when_the_mail_is_processed_after_all(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store)
    end(store.client, entry, "Failed", "no such customer")
    store.client.xclaim(STREAM.queue, GROUP, "w", 0, [entry], force=True)
    assert end(store.client, entry, "Processed") == "Ended"
    assert mark_of(store, entry) is None


@pytest.mark.parametrize(
    "words", [("Done", "x"), ("Step", "x"), ("Processed", "x", "a step without a detail"), ("Step", "", "a step")]
)
def test_what_is_wrong_is_refused_and_changes_nothing(store: Store, words: tuple[str, ...]) -> None:
    filled(store, 1)
    (entry,) = read(store)
    before = store.snapshot()
    with pytest.raises(redis.ResponseError, match=r"verdict must be|needs a name and a detail"):
        end(store.client, entry, *words)
    assert store.snapshot() == before


def test_long_texts_are_cut(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store)
    assert end(store.client, entry, "Step", "", "trace", "x" * 5000) == "Written"
    assert end(store.client, entry, "Step", "", "trace", "x" * 5000) == "Repeated"
    end(store.client, entry, "Failed", "y" * 5000)
    assert [line["detail"] for line in store.log()[1:]] == ["x" * 4000, "y" * 4000]
    assert mark_of(store, entry)[GROUP]["why"] == "y" * 4000


def test_full_memory_does_not_hinder_it(store: Store) -> None:
    filled(store, 1)
    (entry,) = read(store)
    store.client.config_set("maxmemory", 100_000)
    assert end(store.client, entry, "Failed", "no room") == "Ended"


@pytest.fixture
def user(server: RedisServer, store: Store) -> Any:
    (line,) = [line for line in PAGE.splitlines() if line.startswith("ACL SETUSER tickets")]
    store.client.execute_command(*line.replace("PASSWORD", "geheim").replace("'", "").split())
    return server.client(username="tickets", password="geheim")


def test_the_documented_user_may_do_all_of_it(store: Store, user: Any, tools: Tools) -> None:
    filled(store, 1, 2, 3)
    entries = [entry.decode() for entry, _ in user.xreadgroup(GROUP, "w", {STREAM.queue: ">"})[0][1]]
    assert end(user, entries[0], "Step", "", "customer found", "no. 7") == "Written"
    for entry, verdict in zip(entries, ("Processed", "Filtered", "Failed"), strict=True):
        assert end(user, entry, verdict, "why") == "Ended"
    assert tools.states("--state", "Done", "--state", "Filtered", "--state", "Failed") == {
        "subject 1": "Done",
        "subject 2": "Filtered",
        "subject 3": "Failed",
    }


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", STREAM.queue, "*", "f", "v"),
        ("XDEL", STREAM.queue, "0-1"),
        ("XTRIM", STREAM.queue, "MAXLEN", "0"),
        ("XGROUP", "SETID", STREAM.queue, GROUP, "$"),
        ("XDEL", STREAM.log, "0-1"),
        ("XTRIM", STREAM.log, "MAXLEN", "0"),
        ("DEL", STREAM.marks),
        ("DEL", STREAM.log),
        ("HGETALL", STREAM.marks),
        ("SET", STREAM.blob("x"), "v"),
        ("GET", STREAM.connection("inbox").token),
        ("HGETALL", STREAM.connection("inbox").state),
        ("EVAL", "return redis.call('XDEL', KEYS[1], '0-1')", "1", STREAM.queue),
        ("EVAL", "return redis.call('XADD', KEYS[1], '*', 'f', 'v')", "1", STREAM.queue),
        ("EVAL", "return redis.call('DEL', KEYS[1])", "1", STREAM.marks),
        ("EVAL", "return 1", "1", STREAM.connection("inbox").state),
    ],
)
def test_the_documented_user_may_do_nothing_else(store: Store, user: Any, command: tuple[str, ...]) -> None:
    filled(store, 1)
    with pytest.raises(redis.ResponseError, match=r"(?i)permission|can't run this command|can't access"):
        user.execute_command(*command)
