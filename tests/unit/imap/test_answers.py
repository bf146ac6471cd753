"""Reading FETCH answers and writing sets of UIDs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.sources.imap_answers import internal_date, items, pieces, uid_and_size, uid_set
from mailfetch_fetcher.sources.imap_folders import _key, wire_name


def test_items_in_any_order() -> None:
    text = (
        rb"* 5 FETCH (RFC822.SIZE 99 FLAGS (\Seen \Recent $Label) EMAILID (M6d99) "
        rb'INTERNALDATE " 1-Feb-2024 01:02:03 +0100" UID 7 BODY[] )'
    )
    found = items(text)
    assert (found.uid, found.size, found.flags) == (7, 99, ("\\Seen", "$Label"))
    assert (found.received, found.object_id) == (1706745723, b"M6d99")


def test_gmail_names_its_mails_by_number() -> None:
    assert items(b"* 1 FETCH (X-GM-MSGID 1278455344230334865 UID 3)").object_id == b"1278455344230334865"


def test_keywords_are_no_items() -> None:
    found = items(rb"* 1 FETCH (FLAGS (UID 5 RFC822.SIZE 6) UID 7)")
    assert (found.uid, found.size) == (7, -1)
    assert uid_and_size(rb"* 1 FETCH (FLAGS (UID 5))") == (0, -1)


@pytest.mark.parametrize("raw", [b"", b"garbage", b"32-Foo-2024 99:99:99 +0000", b"\xff"])
def test_dates_that_cannot_be_read(raw: bytes) -> None:
    assert internal_date(raw) is None


@given(st.sets(st.integers(1, 2**32 - 1)), st.integers(1, 5))
def test_sets_name_exactly_these_uids(uids: set[int], runs: int) -> None:
    named: list[int] = []
    for piece in pieces(sorted(uids), runs=runs):
        parts = uid_set(piece).split(b",")
        assert len(parts) <= runs
        for part in parts:
            low, _, high = part.partition(b":")
            named += range(int(low), int(high or low) + 1)
    assert named == sorted(uids)


def test_folder_names_on_the_wire() -> None:
    assert wire_name("inBOX") == b"INBOX"
    assert wire_name("Entwürfe & mehr/台北") == b"Entw&APw-rfe &- mehr/&U,BTFw-"


@pytest.mark.parametrize(
    ("name", "separator", "key"),
    [
        ("INBOX.Archive.2026", ".", "Archive/2026"),
        ("Archive/2026", "/", "Archive/2026"),
        ("inbox", ".", "INBOX"),
        ("a.b", "", "a.b"),
    ],
)
def test_names_are_compared_without_separator_and_prefix(name: str, separator: str, key: str) -> None:
    assert _key(name, separator) == key
