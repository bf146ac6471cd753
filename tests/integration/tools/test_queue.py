"""`tools queue`: which state a mail is in, what is listed, and that bodies stay in Redis."""

import tracemalloc

import pytest

from mailfetch_fetcher.store.model import Batch, QueuePolicy
from mailfetch_fetcher.tools import overview as overview_module
from tests.integration.store.helpers import STREAM, Store, mail, open_new, quarantined
from tests.integration.tools.helpers import GROUP, POLICY, Tools, end, filled, large, letter, mixed, read

ALL = ("--state", "New", "--state", "Filtered", "--state", "Processing", "--state", "Failed", "--state", "Done")
OTHER = STREAM.connection("second")


def numbers(
    new: int = 0, filtered: int = 0, processing: int = 0, failed: int = 0, aside: int = 0, done: int = 0
) -> object:
    return {
        "New": new,
        "Filtered": filtered,
        "Processing": processing,
        "Failed": failed,
        "Quarantined": aside,
        "Done": done,
    }


def one_of_each(store: Store) -> list[str]:
    """Mails 1 to 6, one in each state and one more that is New; the entries."""
    mailbox = mixed(store)
    mailbox.commit(Batch(mails=[letter(5), letter(6)], cursor="1700000000/6"))
    mailbox.commit(Batch(quarantine=[quarantined(9, since=1_700_000_000, detail="NO [SERVERBUG]")]))
    return store.ids()


def test_every_state_is_told(store: Store, tools: Tools) -> None:
    entries = one_of_each(store)
    answer = tools.json("queue")
    assert answer["counts"] == numbers(new=2, filtered=1, processing=1, failed=1, aside=1, done=1)
    assert [(entry["subject"], entry["state"]) for entry in answer["entries"]] == [
        ("subject 6", "New"),
        ("subject 5", "New"),
        ("subject 4", "Processing"),
        ("subject 3", "Failed"),
        ("subject 2", "Filtered"),
        ("", "Quarantined"),
    ]
    assert answer["truncated"] is False
    assert answer["groups"] == [
        {
            "stream": "support",
            "name": GROUP,
            "named": True,
            "lag": 2,
            "pending": 1,
            "consumers": 1,  # the sentinel is none
            "lastDelivered": entries[3],
        }
    ]
    new, _, processing, failed, filtered, aside = answer["entries"]
    assert (new["deliveries"], new["consumer"], new["group"]) == (0, "", GROUP)
    assert new["reason"] == "consumer group tickets has not got it yet"
    assert (processing["deliveries"], processing["consumer"], processing["group"]) == (1, "w", GROUP)
    assert (failed["reason"], filtered["reason"]) == ("no such customer", "newsletter")
    assert failed["markedAt"].startswith("20")
    assert (aside["id"], aside["reason"], aside["entry"]) == ("1700000000/9", "NO [SERVERBUG]", "")
    assert (aside["markedAt"], aside["connection"]) == ("2023-11-14T22:13:20Z", "inbox")


def test_an_entry_has_all_that_the_stream_says_of_it(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    made = letter(2, to="support@example.com", date="Sat, 31 Jan 2026 08:15:00 +0000", body=b"12345")
    mailbox.commit(Batch(mails=[made], cursor="1700000000/2"))
    (entry,) = tools.json("queue", "--limit", "1")["entries"]
    stored = store.entries()[1]
    idle = entry.pop("idleMilliseconds")
    assert idle == 0
    assert entry == {
        "entry": store.ids()[1],
        "stream": "support",
        "id": stored["id"],
        "connection": "inbox",
        "folder": "INBOX",
        "state": "New",
        "from": "sender-2@example.com",
        "to": "support@example.com",
        "subject": "subject 2",
        "messageId": "<2@example.com>",
        "date": "Sat, 31 Jan 2026 08:15:00 +0000",
        "committed": stored["committed"],
        "size": 5,
        "deliveries": 0,
        "consumer": "",
        "group": GROUP,
        "reason": "consumer group tickets has not got it yet",
        "markedAt": "",
    }


@pytest.mark.parametrize(
    ("state", "subjects"),
    [
        ("New", {"subject 5", "subject 6"}),
        ("Filtered", {"subject 2"}),
        ("Processing", {"subject 4"}),
        ("Failed", {"subject 3"}),
        ("Quarantined", {""}),
        ("Done", {"subject 1"}),
    ],
)
def test_a_state_can_be_asked_for(store: Store, tools: Tools, state: str, subjects: set[str]) -> None:
    one_of_each(store)
    assert set(tools.states("--state", state)) == subjects
    assert tools.json("queue", "--state", state)["counts"]["New"] == 2


def test_more_than_five_deliveries_are_a_failure(store: Store, tools: Tools) -> None:
    filled(store, 1)
    (entry,) = read(store)
    for _ in range(4):
        store.client.xclaim(STREAM.queue, GROUP, "w", 0, [entry])
    assert tools.states() == {"subject 1": "Processing"}
    store.client.xclaim(STREAM.queue, GROUP, "w", 0, [entry])
    answer = tools.json("queue", "--state", "Failed")
    assert answer["counts"] == numbers(failed=1)
    assert answer["entries"][0]["reason"] == "delivered 6 times and never acknowledged"
    assert answer["entries"][0]["deliveries"] == 6


def test_every_named_group_has_to_have_it(store: Store, tools: Tools) -> None:
    filled(store, 1, 2, policy=QueuePolicy(consumer_groups=(GROUP, "archive")))
    store.client.xreadgroup(GROUP, "w", {STREAM.queue: ">"}, noack=True)
    assert tools.states() == {"subject 1": "New", "subject 2": "New"}
    store.client.xreadgroup("archive", "w", {STREAM.queue: ">"}, noack=True, count=1)
    answer = tools.json("queue")
    assert answer["counts"] == numbers(new=1, done=1)
    assert [group["named"] for group in answer["groups"]] == [True, True]
    store.client.xgroup_destroy(STREAM.queue, "archive")
    answer = tools.json("queue")
    assert answer["counts"] == numbers(new=2)
    assert answer["groups"][0] == {
        "stream": "support",
        "name": "archive",
        "named": True,
        "lag": 2,
        "pending": 0,
        "consumers": 0,
        "lastDelivered": "0-0",
    }


def test_without_a_group_everything_is_new(store: Store, tools: Tools) -> None:
    filled(store, 1, 2, policy=QueuePolicy())
    assert tools.json("queue")["counts"] == numbers(new=2)
    assert tools.json("queue")["entries"][0]["reason"] == ""


def test_a_group_that_nobody_named_counts_if_no_other_is_named(store: Store, tools: Tools) -> None:
    filled(store, 1, 2, policy=QueuePolicy())
    store.client.xgroup_create(STREAM.queue, "own", "0")
    store.client.xreadgroup("own", "w", {STREAM.queue: ">"}, noack=True, count=1)
    answer = tools.json("queue", *ALL)
    assert answer["counts"] == numbers(new=1, done=1)
    assert [entry["state"] for entry in answer["entries"]] == ["New", "Done"]
    assert answer["groups"][0]["named"] is False


def test_where_redis_has_lost_count_it_is_counted(store: Store, tools: Tools) -> None:
    filled(store, *range(1, 121))
    read(store, 10)
    store.client.xdel(STREAM.queue, store.ids()[50])
    assert store.client.xinfo_groups(STREAM.queue)[0]["lag"] is None
    assert tools.json("queue")["counts"] == numbers(new=109, processing=10)


def test_a_stream_of_two_connections_is_told_apart(store: Store, tools: Tools) -> None:
    one_of_each(store)
    other = store.mailbox(keys=OTHER, policy=POLICY)
    open_new(other)
    other.commit(Batch(mails=[letter(77), letter(78)], cursor="1700000000/78"))
    assert tools.states("--connection", "second") == {"subject 77": "New", "subject 78": "New"}
    assert tools.json("queue", "--connection", "second")["counts"] == numbers(new=2)
    inbox = tools.json("queue", "--connection", "inbox")
    assert inbox["counts"] == numbers(new=2, filtered=1, processing=1, failed=1, aside=1, done=1)
    assert tools.json("queue")["counts"] == numbers(new=4, filtered=1, processing=1, failed=1, aside=1, done=1)


@pytest.mark.parametrize("term", ["SUBJECT 3", "sender-3@", "<3@example"])
def test_a_search_looks_at_what_people_see(store: Store, tools: Tools, term: str) -> None:
    one_of_each(store)
    assert tools.states("--search", term) == {"subject 3": "Failed"}
    assert tools.json("queue", "--search", "no such thing")["entries"] == []


def test_several_streams_are_merged_newest_first(store: Store, tools: Tools) -> None:
    filled(store, 1)
    keys = type(STREAM)(namespace="helpdesk", stream="sales").connection("sales")
    other = store.mailbox(keys=keys, policy=POLICY)
    open_new(other)
    other.commit(Batch(mails=[letter(2)], cursor="1700000000/2"))
    answer = tools.json("queue", "--stream", "sales")
    assert [(e["stream"], e["subject"]) for e in answer["entries"]] == [
        ("sales", "subject 2"),
        ("support", "subject 1"),
    ]
    assert answer["counts"] == numbers(new=2)


@pytest.mark.parametrize(("limit", "truncated"), [("3", True), ("4", True), ("5", False)])
def test_more_than_the_limit_is_told(store: Store, tools: Tools, limit: str, truncated: bool) -> None:
    filled(store, *range(1, 6))
    answer = tools.json("queue", "--limit", limit)
    assert [entry["subject"] for entry in answer["entries"]] == [f"subject {n}" for n in range(5, 5 - int(limit), -1)]
    assert answer["truncated"] is truncated


def test_an_empty_queue_and_a_stream_that_is_not_there(store: Store, tools: Tools) -> None:
    expected = {"entries": [], "counts": numbers(), "groups": [], "truncated": False}
    assert tools.json("queue", stream="nothing") == expected
    store.opened(policy=POLICY)
    assert tools.json("queue")["counts"] == numbers()


def test_marks_of_mails_that_are_gone_do_not_count(store: Store, tools: Tools) -> None:
    entries = one_of_each(store)
    store.client.xtrim(STREAM.queue, minid=entries[4], approximate=False)
    assert tools.json("queue")["counts"] == numbers(new=2, aside=1)


def test_hostile_headers_and_marks_are_data(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    mailbox.commit(Batch(mails=[letter(2, subject='\x1b[31m"}\udcff', sender="a\nb")], cursor="1700000000/2"))
    first, second = read(store)
    end(store.client, second, "Failed", 'quote " \\ \x00')
    store.client.hset(STREAM.marks, first, b"\xff\xfe not JSON")
    entries = tools.json("queue")["entries"]
    assert [entry["state"] for entry in entries] == ["Failed", "Failed"]
    assert (entries[0]["subject"], entries[0]["from"]) == ('\x1b[31m"}?', "a\nb")
    assert entries[0]["reason"] == 'quote " \\ \x00'


def test_many_mails_with_bodies_stay_in_redis(store: Store, tools: Tools) -> None:
    mailbox = store.opened(policy=POLICY)
    for start in range(0, 600, 50):
        mails = [letter(start + n + 1, body=b"x" * 60_000) for n in range(50)]
        mailbox.commit(Batch(mails=mails, cursor=f"1700000000/{start + 50}"))
    tracemalloc.start()
    answer = tools.json("queue", "--search", "subject 1", "--limit", "1000")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(answer["entries"]) == 111
    assert peak < 10_000_000  # the bodies have 36 MB


def test_what_is_done_is_not_walked_through(store: Store, tools: Tools) -> None:
    filled(store, *range(1, 301))
    entries = read(store, 300)
    end(store.client, entries[7], "Failed", "?")
    store.client.xack(STREAM.queue, GROUP, *entries[:7], *entries[8:])
    store.client.config_resetstat()
    assert tools.states() == {"subject 8": "Failed"}
    assert store.client.info("commandstats")["cmdstat_xrevrange"]["calls"] <= 2


def test_pages_of_marks_and_pending_mails(store: Store, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_module, "LINES", 7)
    filled(store, *range(1, 41))
    entries = read(store, 40)
    for entry in entries[:20]:
        end(store.client, entry, "Filtered", "no")
    assert tools.json("queue", "--limit", "100")["counts"] == numbers(filtered=20, processing=20)
    assert len(tools.states("--limit", "100")) == 40


def test_the_blob_of_a_large_mail_is_not_read(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    large(mailbox, 2, b"x" * 300_000)
    (entry, _) = tools.json("queue")["entries"]
    assert entry["size"] == 300_000


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("queue",), "error: the following arguments are required: --stream"),
        (("queue", "--stream", "s", "--limit", "0"), "error: argument --limit: it must be 1 or more"),
        (("queue", "--stream", "s", "--state", "Old"), "error: argument --state: invalid choice: 'Old'"),
        (("log", "--stream", "s", "--since", "noon"), "error: argument --since: 'noon' is no time"),
        (("purge", "--stream", "s"), "error: purge needs a REF, or one of --connection"),
        (("purge", "--stream", "s", "x", "--state", "New"), "error: purge takes either REFs or filters"),
        (("purge", "--stream", "s", "--log", "--state", "New"), "error: purge --log takes no --state"),
        ((), "error: the following arguments are required: command"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(tools: Tools, words: tuple[str, ...], error: str) -> None:
    code, out, err = tools.run(*words)
    assert (code, out, err.count("\n")) == (2, b"", 1)
    assert err.startswith(error)


def test_no_secret_is_shown_when_redis_cannot_be_reached(tools: Tools) -> None:
    tools.use("redis://helpdesk:hunter2@127.0.0.1:1/0")
    code, text = tools.error("queue")
    assert code == 1
    assert text.startswith("error: no connection to Redis at redis://127.0.0.1:1/0")
    assert "hunter2" not in text


def test_outside_of_the_tools_pod_it_says_so(tools: Tools) -> None:
    code, _, err = tools.run("queue", "--stream", "s", variables={"HOME": "/"})
    assert code == 1
    assert "mailfetch-tools-0" in err


def test_plain_mails_of_the_store_are_listed_too(store: Store, tools: Tools) -> None:
    mailbox = store.opened(policy=POLICY)
    mailbox.commit(Batch(mails=[mail(1)], cursor="1700000000/1"))
    assert tools.json("queue")["entries"][0]["subject"] == ""
