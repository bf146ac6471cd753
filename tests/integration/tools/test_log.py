"""`tools log`: the Incoming Mail Log in the words of people, and all lines of one mail."""

import pytest

from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.model import Batch, LogLine
from mailfetch_fetcher.tools import log as log_module
from mailfetch_fetcher.tools import opened as opened_module
from tests.integration.store.helpers import SEEN, STREAM, Store, open_new, quarantined
from tests.integration.tools.helpers import POLICY, Tools, end, filled, letter, read


def story(store: Store) -> str:
    """Two mails on their whole way; the entry of the first."""
    mailbox = filled(store, 1, 2, action=SEEN)
    first, second = mailbox.due_actions().actions
    mailbox.settle(
        [Outcome(action=first, result="done"), Outcome(action=second, result="dropped", detail="it is gone")]
    )
    log = [LogLine(step="quarantined", result="Failed", fields={"ref": "1700000000/9", "detail": "NO"})]
    mailbox.commit(Batch(quarantine=[quarantined(9)], log=log))
    one, two = read(store)
    end(store.client, one, "Step", "", "customer found", "no. 7")
    end(store.client, one, "Processed", "ticket 12")
    end(store.client, two, "Filtered", "newsletter")
    return one


def told(answer: object) -> list[tuple[str, str, str, str]]:
    assert isinstance(answer, dict)
    return [(line["category"], line["result"], line["step"], line["subject"]) for line in answer["lines"]]


def test_the_whole_story_is_told_newest_first(store: Store, tools: Tools) -> None:
    story(store)
    answer = tools.json("log")
    assert told(answer) == [
        ("Filter", "Skipped", "filtered", "subject 2"),
        ("Process", "Succeeded", "processed", "subject 1"),
        ("Process", "Succeeded", "customer found", "subject 1"),
        ("Download", "Error", "quarantined", ""),
        ("Download", "Skipped", "MarkSeen Dropped", "subject 2"),
        ("Download", "Succeeded", "MarkSeen", "subject 1"),
        ("Download", "Succeeded", "stored", "subject 2"),
        ("Download", "Succeeded", "stored", "subject 1"),
    ]
    assert answer["truncated"] is False


def test_a_line_has_all_that_is_known_of_it(store: Store, tools: Tools) -> None:
    entry = story(store)
    filtered, *_, seen, _, stored = tools.json("log")["lines"]
    written = store.log()[-1]
    assert filtered.pop("time").startswith("20")
    assert filtered == {
        "line": store.client.xrevrange(STREAM.log, count=1)[0][0].decode(),
        "stream": "support",
        "connection": "inbox",
        "category": "Filter",
        "result": "Skipped",
        "step": "filtered",
        "execution": written["execution"],
        "entry": store.ids()[1],
        "id": store.entries()[1]["id"],
        "messageId": "<2@example.com>",
        "from": "sender-2@example.com",
        "subject": "subject 2",
        "detail": "newsletter",
        "consumer": "w",
    }
    assert (seen["entry"], seen["id"], seen["messageId"]) == (entry, stored["id"], "<1@example.com>")


def test_an_unproven_acknowledgement_is_skipped(store: Store, tools: Tools) -> None:
    filled(store, 1)
    store.client.xadd(STREAM.log, {"category": "AfterDownload", "result": "Unproven", "step": "Delete", "entry": "1-1"})
    assert told(tools.json("log", "--limit", "1")) == [("Download", "Skipped", "Delete Unproven", "")]


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (("--category", "Process"), ["processed", "customer found"]),
        (("--category", "Filter"), ["filtered"]),
        (("--result", "Error"), ["quarantined"]),
        (("--category", "Download", "--result", "Skipped"), ["MarkSeen Dropped"]),
        (("--search", "TICKET 12"), ["processed"]),
        (("--search", "sender-2@"), ["filtered", "stored"]),
        (("--search", "1700000000/9"), ["quarantined"]),
        (("--connection", "other"), []),
        (("--since", "2100-01-01T00:00:00Z"), []),
        (("--since", "2020-01-01T00:00:00", "--limit", "1"), ["filtered"]),
    ],
)
def test_filters(store: Store, tools: Tools, words: tuple[str, ...], steps: list[str]) -> None:
    story(store)
    assert [line["step"] for line in tools.json("log", *words)["lines"]] == steps


def test_since_is_a_moment(store: Store, tools: Tools) -> None:
    filled(store, 1)
    for at, step in (("4102444800000-5", "early"), ("4102444801000-0", "late")):
        store.client.xadd(STREAM.log, {"step": step}, id=at)
    lines = tools.json("log", "--since", "2100-01-01T00:00:01Z")["lines"]
    assert [(line["step"], line["time"]) for line in lines] == [("late", "2100-01-01T00:00:01Z")]
    assert len(tools.json("log", "--since", "2100-01-01T02:00:00+02:00")["lines"]) == 2


@pytest.mark.parametrize("by", ["id", "entry", "<1@example.com>", "1@example.com"])
def test_all_lines_of_one_mail(store: Store, tools: Tools, by: str) -> None:
    story(store)
    ref = {"id": store.entries()[0]["id"], "entry": store.ids()[0]}.get(by, by)
    lines = tools.json("log", "--id", ref)["lines"]
    assert [line["step"] for line in lines] == ["processed", "customer found", "MarkSeen", "stored"]
    assert tools.json("log", "--id", "no such mail")["lines"] == []


@pytest.mark.parametrize(("limit", "truncated"), [("7", True), ("8", False)])
def test_the_limit(store: Store, tools: Tools, limit: str, truncated: bool) -> None:
    story(store)
    answer = tools.json("log", "--limit", limit)
    assert (len(answer["lines"]), answer["truncated"]) == (int(limit), truncated)


def test_pages_are_put_together(store: Store, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "LINES", 3)
    monkeypatch.setattr(opened_module, "LINES", 3)
    story(store)
    assert len(tools.json("log")["lines"]) == 8
    assert len(tools.json("log", "--id", "<1@example.com>")["lines"]) == 4


def test_several_streams_are_merged(store: Store, tools: Tools) -> None:
    filled(store, 1)
    other = store.mailbox(keys=type(STREAM)(namespace="helpdesk", stream="sales").connection("sales"), policy=POLICY)
    open_new(other)
    other.commit(Batch(mails=[letter(2)], cursor="1700000000/2"))
    lines = tools.json("log", "--stream", "sales")["lines"]
    assert [(line["stream"], line["subject"]) for line in lines] == [("sales", "subject 2"), ("support", "subject 1")]


def test_an_empty_log(store: Store, tools: Tools) -> None:
    assert tools.json("log", stream="nothing") == {"lines": [], "truncated": False}
