"""The checker of the test bench finds every kind of fault that it is there for."""

import pytest

from tests.servers.checker import Entry, Original, compare


def entry(uid: int, **changes: object) -> Entry:
    good: dict[str, object] = {
        "entry": f"{uid}-1",
        "id": f"id{uid}",
        "uid": uid,
        "connection": "c",
        "sha256": f"hash{uid}",
        "size": uid,
        "claims_hold": True,
    }
    return Entry(**(good | changes))  # type: ignore[arg-type]


ORIGINALS = {uid: Original(sha256=f"hash{uid}", size=uid, flags=frozenset({"\\seen"})) for uid in (1, 2, 3)}
GOOD = [entry(1), entry(2), entry(3)]


def test_exactly_once() -> None:
    verdict = compare(ORIGINALS, GOOD, expect_seen=True)
    assert verdict.ok
    assert str(verdict) == "3 mails, 3 entries: exactly once"


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        (GOOD[:2], {"lost": [3]}),
        ([*GOOD, entry(2, id="other")], {"doubled": [2]}),
        ([*GOOD[:2], entry(3, id="id2")], {"doubled_ids": ["id2"]}),
        ([*GOOD[:2], entry(3, sha256="x")], {"wrong_bytes": [3]}),
        ([*GOOD[:2], entry(3, claims_hold=False)], {"wrong_claims": [3]}),
        ([*GOOD, entry(4)], {"unknown": [4]}),
    ],
)
def test_every_fault_is_found(entries: list[Entry], fault: dict[str, list[object]]) -> None:
    verdict = compare(ORIGINALS, entries)
    assert not verdict.ok
    assert {name: value for name, value in vars(verdict).items() if isinstance(value, list) and value} == fault


def test_unseen_mails_are_found_when_they_matter() -> None:
    originals = ORIGINALS | {2: Original(sha256="hash2", size=2, flags=frozenset())}
    assert compare(originals, GOOD).ok
    assert compare(originals, GOOD, expect_seen=True).unseen == [2]
