"""Tables and pages of mails: the columns, their widths, and that nothing in a mail drives a terminal."""

import io
import json
from typing import Any

import msgspec
import pytest
import yaml

from kubectl_mailfetch.mail_page import log_page, show_page
from kubectl_mailfetch.mail_rows import Table, log_table, queue_table, reference, size, summary
from kubectl_mailfetch.output import Format, console, print_page, print_table, print_value
from kubectl_mailfetch.page import Line
from mailfetch_fetcher.tools import model
from tests.unit.plugin.mails import CALM, EVIL, entry, group, line, queue
from tests.unit.plugin.samples import NOW

ENTRIES = [
    entry(state="Quarantined", entry="", id="7", committed="", markedAt="2026-01-31T11:00:00Z", reason="TooLarge"),
    entry(state="Processing", subject="x" * 300, **{"from": "y" * 300}, connection="z" * 52),
    entry(),
]
LINES = [line(), line(category="Download", result="Succeeded", step="checkpoint", id="", subject="", **{"from": ""})]


def printed(table: Table, *, width: int | None = None, wide: bool = False) -> list[str]:
    out = io.StringIO()
    shown = console(out, width)
    print_table(table.header, table.rows, table.tones, toned=table.toned, out=shown, wide=wide)
    return out.getvalue().splitlines()


def page(lines: list[Line]) -> str:
    out = io.StringIO()
    print_page(lines, out=console(out, 100))
    return out.getvalue()


def rows_of(table: Table) -> list[dict[str, str]]:
    return [dict(zip([name for name, _ in table.header], row, strict=True)) for row in table.rows]


def test_the_samples_are_what_the_tools_print() -> None:
    def fields(kind: type[msgspec.Struct]) -> set[str]:
        return {f.encode_name for f in msgspec.structs.fields(kind)}

    assert fields(model.Queue) == queue().keys()
    assert fields(model.Entry) == entry().keys()
    assert fields(model.Group) == group().keys()
    assert fields(model.Log) == {"lines", "truncated"}
    assert fields(model.Line) == line().keys()
    assert fields(model.Shown) == {"entry", "log"}
    assert fields(model.Whole) == entry().keys() | {"headers", "attempts"}
    assert fields(model.Attempt) == {"execution", "group", "consumer", "deliveries", "steps"}
    assert fields(model.Requeued) == {"requeued", "refused"}
    assert fields(model.Copied) == {"entry", "newEntry", "id", "newId"}
    assert fields(model.Refused) == {"ref", "reason"}
    assert fields(model.Purged) == {"matched", "purged", "kept", "why"}


def test_the_columns_of_the_queue() -> None:
    found = rows_of(queue_table(ENTRIES, now=NOW, wide=False, namespaces=False))
    assert list(found[2].items()) == [
        ("STATE", "New"),
        ("FROM", "Ann Example <ann@example.com>"),
        ("SUBJECT", "The quarterly report is late"),
        ("WHEN", "5m"),
        ("CONNECTION", "support"),
        ("ID", "1769860000000-0"),
    ]
    assert (found[0]["ID"], found[0]["WHEN"]) == ("7", "60m")


def test_the_columns_of_the_log() -> None:
    mail, step = rows_of(log_table(LINES, now=NOW, wide=False, namespaces=False))
    assert list(mail.items()) == [
        ("FROM", "Ann Example <ann@example.com>"),
        ("SUBJECT", "The quarterly report is late"),
        ("WHEN", "5m"),
        ("CATEGORY", "Process"),
        ("RESULT", "Error"),
        ("STEP", "failed"),
    ]
    assert (step["SUBJECT"], step["STEP"]) == ("", "checkpoint")


def test_wide_tells_the_rest() -> None:
    (found,) = rows_of(log_table(LINES[:1], now=NOW, wide=True, namespaces=True))
    assert {k: found[k] for k in ("MESSAGE-ID", "EXECUTION", "STEP", "DETAIL", "TIME")} == {
        "MESSAGE-ID": "<1@example.com>",
        "EXECUTION": "ticketing/1769860000000-0/2",
        "STEP": "failed",
        "DETAIL": "the ticket system refused it",
        "TIME": "2026-01-31 11:55 UTC",
    }
    (found,) = rows_of(queue_table(ENTRIES[:1], now=NOW, wide=True, namespaces=True))
    assert {k: found[k] for k in ("MAIL-ID", "SIZE", "REASON", "STORED")} == {
        "MAIL-ID": "7",
        "SIZE": "2.0 KiB",
        "REASON": "TooLarge",
        "STORED": "2026-01-31 11:00 UTC",
    }


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("namespaces", [False, True])
def test_they_fit_the_terminal_in_one_line_a_mail_and_keep_what_is_to_be_copied(width: int, namespaces: bool) -> None:
    mails = [{"namespace": "helpdesk", **row} for row in ENTRIES]
    shown = printed(queue_table(mails, now=NOW, wide=False, namespaces=namespaces), width=width)
    assert max(map(len, shown)) <= width
    assert len(shown) == 1 + len(mails)
    assert [text.split()[-1] for text in shown[1:]] == ["7", "1769860000000-0", "1769860000000-0"]
    assert "The quarte" in shown[3] if width == 120 else "The" in shown[3]
    lines = printed(log_table(LINES, now=NOW, wide=False, namespaces=False), width=width)
    assert max(map(len, lines)) <= width
    assert len(lines) == 3
    assert "The quarterly repo" in lines[1]
    assert lines[1].endswith("Error      failed")


def test_a_pipe_gets_everything() -> None:
    assert "x" * 300 in printed(queue_table(ENTRIES, now=NOW, wide=False, namespaces=False))[2]


def test_nothing_in_a_mail_drives_the_terminal() -> None:
    evil: dict[str, Any] = {key: EVIL for key, value in entry().items() if isinstance(value, str)}
    evil_line: dict[str, Any] = dict.fromkeys(line(), EVIL)
    lists = [
        printed(queue_table([evil], now=NOW, wide=True, namespaces=True), wide=True),
        printed(log_table([evil_line], now=NOW, wide=True, namespaces=True), wide=True),
    ]
    shown = {"entry": {**evil, "headers": [[EVIL, EVIL]], "attempts": [{"execution": EVIL, "steps": [evil_line]}]}}
    text = page(show_page({**shown, "log": [evil_line]}, now=NOW, wide=True))
    text += page(list(log_page([evil_line], now=NOW)))
    for lines in lists:
        assert len(lines) == 2, "one line for the header, one for the mail"
        assert lines[1].isprintable()
        assert CALM in lines[1]
    assert CALM in text
    assert text.replace("\n", "").isprintable()
    assert summary({"counts": {EVIL: 1}}).isprintable()
    assert reference({"id": EVIL}).isprintable()


@pytest.mark.parametrize("form", [Format.json, Format.yaml])
@pytest.mark.parametrize("subject", [EVIL, "Grüße \U0001f600", "\x7f\U000e0041\u2066", "\ud800"])
def test_data_is_the_same_but_written_so_that_it_does_not_either(form: Format, subject: str) -> None:
    out = io.StringIO()
    print_value(queue(entry(subject=subject)), form, out=out)
    read = json.loads(out.getvalue()) if form is Format.json else yaml.safe_load(out.getvalue())
    if subject != "\ud800" or form is Format.json:
        assert read["entries"][0]["subject"] == subject
    assert out.getvalue().replace("\n", "").isprintable()
    out.getvalue().encode()


def test_readable_text_stays_readable() -> None:
    for form in (Format.json, Format.yaml):
        out = io.StringIO()
        print_value(queue(entry(subject="Grüße")), form, out=out)
        assert "Grüße" in out.getvalue()


def test_the_page_of_a_mail() -> None:
    attempt = {"execution": "ticketing/1/2", "group": "ticketing", "consumer": "c1", "deliveries": 2, "steps": [line()]}
    mail = entry(
        state="Failed", group="ticketing", consumer="c1", deliveries=6, reason="delivered 6 times",
        headers=[["List-Id", "<a.example.com>"]], attempts=[attempt],
    )  # fmt: skip
    answer = {"entry": mail, "log": [line(category="Download", result="Succeeded", step="stored", execution="")]}
    text = page(show_page(answer, now=NOW, wide=False))
    assert text.splitlines()[0] == "0123456789abcdef0123456789abcdef"
    for wanted in (
        "Failed; group ticketing, consumer c1; delivered 6 times",
        "Ann Example <ann@example.com>",
        "<1@example.com>",
        "5m ago (2026-01-31 11:55 UTC)",
        "2.0 KiB",
        "Attempt 1",
        "Process Error, failed: the ticket system refused it",
        "Download Succeeded, stored",
    ):
        assert wanted in text
    assert "List-Id" not in text
    assert "List-Id: <a.example.com>" in page(show_page(answer, now=NOW, wide=True))


def test_an_answer_of_another_version_is_shown_as_far_as_it_goes() -> None:
    assert page(show_page({}, now=NOW, wide=True))
    assert page(show_page({"entry": {"headers": [1], "attempts": [2]}, "log": [3]}, now=NOW, wide=True))
    assert rows_of(queue_table([{"size": "x", "committed": "soon"}], now=NOW, wide=True, namespaces=True))


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (150 << 20, "150.0 MiB"), (5 << 40, "5120.0 GiB"), (None, "")],
)
def test_sizes(number: int | None, said: str) -> None:
    assert size({"size": number}) == said


def test_the_summary_counts_all_states() -> None:
    assert summary({"counts": {"New": 1234, "Filtered": 0, "Done": 2}}) == "1,234 New, 2 Done"
    assert summary({}) == "no mails"
