"""The transcripts of end-to-end tests: what is named instead of shown, and what is noticed."""

from pathlib import Path

import pytest

from tests.e2e.terminal import Screen
from tests.e2e.transcript import Transcript, compare, table

QUEUE = """\
STATE  SUBJECT     WHEN   ID
New    請求書      5m10s  1700000000001-0
Done   Order 1234  7s     1700000000000-0
In the queue: 1 New, 1 Done.
"""


def told(text: str, masks: tuple[tuple[str, str], ...] = ()) -> str:
    numbered = {"entry": r"\b\d{13}-\d+\b"}
    return Transcript(known={"helpdesk-1a2b": "helpdesk"}, numbered=numbered).text(
        [Screen(command="show 1700000000000-0 -n helpdesk-1a2b", text=text, masks=masks)]
    )


def test_a_table_is_laid_out_anew_and_things_keep_their_names() -> None:
    assert told(QUEUE) == (
        "$ show <entry 1> -n helpdesk\n"
        "STATE  SUBJECT     WHEN   ID\n"
        "New    請求書      <age>  <entry 2>\n"
        "Done   Order 1234  <age>  <entry 1>\n"
        "In the queue: 1 New, 1 Done.\n"
    )


def test_what_differs_from_run_to_run_is_named() -> None:
    text = "  Counted   3s ago (2026-11-24 19:57 UTC)\n  TCP   ok         12 ms  connected to 10.96.0.7 port 993\n"
    assert told(text, ((r"port \d+", "port <n>"),)).splitlines()[1:] == [
        "  Counted   <age> ago (<time>)",
        "  TCP   ok        <n> ms  connected to <address> port <n>",
    ]


def test_a_row_that_does_not_stand_below_its_header_is_noticed() -> None:
    with pytest.raises(AssertionError, match="not aligned in column 6"):
        table(["STATE  ID", "Filtered  7"], str)


def test_a_difference_is_shown_line_by_line(tmp_path: Path) -> None:
    golden = tmp_path / "story.txt"
    with pytest.raises(AssertionError, match="was written; review and commit it"):
        compare(golden, "one\ntwo\n")
    compare(golden, "one\ntwo\n")
    with pytest.raises(AssertionError, match=r"-two\n\+three"):
        compare(golden, "one\nthree\n")
