"""`tools show`: a mail with its headers, its way through the log and its bytes."""

import tracemalloc
from dataclasses import replace

import pytest

from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.model import Batch
from mailfetch_fetcher.tools.show import MOST_HEADERS
from tests.integration.store.helpers import SEEN, STREAM, Store, quarantined
from tests.integration.tools.helpers import GROUP, Tools, end, filled, large, letter, read

BODY = (
    b"Received: from a\r\n by b\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\r\nX-Odd :  \xe4\r\n"
    b"Subject: hello\r\nReceived: from c\r\n\r\nNot-A: header\r\n"
)


def one(store: Store, body: bytes = BODY) -> None:
    mailbox = filled(store, 1)
    mailbox.commit(Batch(mails=[letter(2, body=body)], cursor="1700000000/2"))


@pytest.mark.parametrize("by", ["id", "entry", "<2@example.com>", "2@example.com"])
def test_a_mail_is_found_by_any_of_its_names(store: Store, tools: Tools, by: str) -> None:
    one(store)
    ref = {"id": store.entries()[1]["id"], "entry": store.ids()[1]}.get(by, by)
    shown = tools.json("show", ref)
    assert (shown["entry"]["subject"], shown["entry"]["state"]) == ("subject 2", "New")
    assert [line["step"] for line in shown["log"]] == ["stored"]
    assert tools.run("show", "--stream", "support", "--raw", ref) == (0, BODY, "")


def test_headers_are_decoded_in_their_order(store: Store, tools: Tools) -> None:
    one(store)
    assert tools.json("show", "2@example.com")["entry"]["headers"] == [
        ["Received", "from a by b"],
        ["From", "Jürgen <j@example.com>"],
        ["X-Odd", "ä"],
        ["Subject", "hello"],
        ["Received", "from c"],
    ]


def test_headers_are_bounded(store: Store, tools: Tools) -> None:
    one(store, b"X: " + b"y" * 5000 + b"\r\n" + b"Z: 1\r\n" * 500 + b"\r\n")
    headers = tools.json("show", "2@example.com")["entry"]["headers"]
    assert len(headers) == MOST_HEADERS
    assert headers[0] == ["X", "y" * 998]


def test_attempts_are_grouped_by_delivery(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1, action=SEEN)
    mailbox.settle([Outcome(action=action, result="done") for action in mailbox.due_actions().actions])
    (entry,) = read(store)
    end(store.client, entry, "Step", "", "attempt failed", "no room")
    store.client.xgroup_create(STREAM.queue, "a/b", "0")
    store.client.xreadgroup("a/b", "x", {STREAM.queue: ">"})
    store.client.xclaim(STREAM.queue, GROUP, "w2", 0, [entry])
    end(store.client, entry, "Failed", "no customer", consumer="w2")
    shown = tools.json("show", entry)
    attempts = shown["entry"]["attempts"]
    assert [{**a, "steps": [s["step"] for s in a["steps"]]} for a in attempts] == [
        {
            "execution": f"{GROUP}/{entry}/1",
            "group": GROUP,
            "consumer": "w",
            "deliveries": 1,
            "steps": ["attempt failed"],
        },
        {"execution": f"{GROUP}/{entry}/2", "group": GROUP, "consumer": "w2", "deliveries": 2, "steps": ["failed"]},
        {"execution": f"a/b/{entry}/1", "group": "a/b", "consumer": "x", "deliveries": 1, "steps": []},
    ]
    assert [line["step"] for line in shown["log"]] == ["stored", "MarkSeen", "attempt failed", "failed"]
    assert {line["subject"] for line in shown["log"]} == {"subject 1"}


def test_the_bytes_of_a_large_mail_come_in_parts(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    body = b"Subject: large\r\n\r\n" + bytes(range(256)) * 40_000
    large(mailbox, 2, body)
    assert tools.json("show", "2@example.com")["entry"]["headers"] == [["Subject", "large"]]
    tracemalloc.start()
    code, out, _ = tools.run("show", "--stream", "support", "--raw", "2@example.com")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(body)  # once as this test has it, and little more
    assert (code, out == body) == (0, True)


def test_a_body_that_was_damaged_is_told(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    large(mailbox, 2, b"x" * 100_000)
    (blob,) = store.client.scan_iter(STREAM.blob("*"))
    store.client.setrange(blob, 5, b"y")
    code, out, err = tools.run("show", "--stream", "support", "--raw", "2@example.com")
    assert (code, len(out)) == (1, 100_000)
    assert "is not what was downloaded" in err


def test_no_such_mail_is_exit_code_3(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    mailbox.commit(Batch(mails=[letter(2, message_id="")], cursor="1700000000/2"))
    for ref in ("<>", "0" * 32, "1-1", "<none@example.com>", ""):
        code, text = tools.error("show", ref)
        assert code == 3
        assert text.startswith(f"error: there is no mail {ref}".rstrip())


def test_a_message_id_that_repeats_is_ambiguous(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    twin = replace(letter(2), message_id="<1@example.com>", identity=b"other")
    mailbox.commit(Batch(mails=[twin], cursor="1700000000/2"))
    code, text = tools.error("show", "1@example.com")
    assert code == 1
    assert all(entry["id"] in text for entry in store.entries())


def test_of_an_id_that_was_stored_twice_the_newer_is_shown(store: Store, tools: Tools) -> None:
    filled(store, 1)
    (_, fields), *_ = store.client.xrange(STREAM.queue)
    store.client.xadd(STREAM.queue, fields)
    assert tools.json("show", store.entries()[0]["id"])["entry"]["entry"] == store.ids()[1]


def test_a_mail_in_quarantine_is_shown_as_far_as_it_is_known(store: Store, tools: Tools) -> None:
    mailbox = filled(store, 1)
    mailbox.commit(Batch(quarantine=[quarantined(9, detail="NO [SERVERBUG]")]))
    shown = tools.json("show", "1700000000/9")
    assert (shown["entry"]["state"], shown["entry"]["reason"]) == ("Quarantined", "NO [SERVERBUG]")
    assert (shown["entry"]["headers"], shown["entry"]["attempts"]) == ([], [])
    code, text = tools.error("show", "--raw", "1700000000/9")
    assert code == 3
    assert "could not be downloaded" in text


def test_it_looks_in_all_streams(store: Store, tools: Tools) -> None:
    one(store)
    assert tools.json("show", "2@example.com", "--stream", "nothing")["entry"]["stream"] == "support"


def test_of_many_mails_with_one_message_id_the_newest_are_named(store: Store, tools: Tools) -> None:
    """Strangers choose Message-IDs: the mails themselves are not all loaded."""
    many(store, 3000)
    tracemalloc.start()
    code, text = tools.error("show", "same@example.com")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code == 1
    named = ", ".join(f"m{i}" for i in range(2999, 2989, -1))
    assert text.endswith(f"3000 mails have the Message-ID same@example.com; name one of them by its id: {named}")
    assert peak < 10_000_000


def test_of_a_mail_that_was_stored_often_the_newest_is_shown(store: Store, tools: Tools) -> None:
    many(store, 30, different=1)
    assert tools.json("show", "same@example.com")["entry"]["entry"] == store.ids()[-1]


def many(store: Store, count: int, *, different: int = 0) -> None:
    """Mails with the same Message-ID."""
    filled(store, 1)
    pipeline = store.client.pipeline()
    for i in range(count):
        fields = {"id": f"m{i % different if different else i}", "connection": "inbox", "raw": "x"}
        pipeline.xadd(STREAM.queue, {**fields, "message_id": "<same@example.com>", "subject": "\U0001f600" * 998})
    pipeline.execute()
