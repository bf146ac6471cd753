"""When an acknowledgement proves something (`store.md`, hazard 26): the decisions alone."""

from dataclasses import replace

import pytest

from mailfetch_fetcher.store.acks import Look, Seen, Verdict, decode_seen, is_proven, judge_group, why_doubted

RECORD = Seen(group="tickets", token="t", since="0-0", last="0-0", read=None)
SEEN = Seen(group="tickets", token="t", since="5-0", last="20-0", read=20)
LOOK = Look(record=RECORD, last="30-0", read=30, newest="40-0")


def test_the_first_look_goes_by_what_was_noted_when_the_sentinel_came() -> None:
    """Not by the first look itself: the group may have read a lot between the first commit and that."""
    assert judge_group(None, LOOK) == replace(RECORD, last="30-0", read=30)


def test_what_goes_on_as_expected_keeps_its_beginning() -> None:
    assert judge_group(SEEN, LOOK) == replace(SEEN, last="30-0", read=30)


@pytest.mark.parametrize(
    ("look", "doubt"),
    [
        (replace(LOOK, record=replace(RECORD, token="another")), "made anew"),
        (replace(LOOK, record=replace(RECORD, group="another")), "another group"),
        (replace(LOOK, last="19-9", read=19), "set back"),
        (replace(LOOK, last="19-0", read=None), "set back"),
        (replace(LOOK, read=None), "moved without reading"),
        (replace(LOOK, read=19), "fewer"),
        (replace(LOOK, last="20-0", read=None), ""),
        (replace(LOOK, last="20-0", read=20), ""),
    ],
)
def test_after_anything_strange_proof_begins_behind_the_newest_entry(look: Look, doubt: str) -> None:
    why = why_doubted(SEEN, look)
    assert (doubt in why) if doubt else not why
    seen = judge_group(SEEN, look)
    assert seen.since == ("40-0" if doubt else "5-0")
    assert (seen.last, seen.read, seen.token) == (look.last, look.read, look.record.token)
    assert judge_group(seen, replace(look, newest="50-0")).since == seen.since  # once, not for ever


def test_numbers_are_compared_as_numbers() -> None:
    assert not why_doubted(replace(SEEN, last="9-9"), replace(LOOK, last="10-0"))
    assert is_proven("10-0", "acked", replace(SEEN, since="9-9"))


@pytest.mark.parametrize(
    ("entry", "verdict", "want"),
    [
        ("6-0", "acked", True),
        ("5-1", "acked", True),
        ("5-0", "acked", False),
        ("4-9", "acked", False),
        ("4-9", "new", False),
        ("6-0", "new", None),
        ("6-0", "pending", None),
        ("6-0", "marked", None),
        ("6-0", "gone", False),
    ],
)
def test_only_what_came_after_the_observation_is_proven(entry: str, verdict: Verdict, want: bool | None) -> None:
    assert is_proven(entry, verdict, SEEN) is want


def test_what_the_state_holds_is_read_back() -> None:
    assert decode_seen(SEEN.encode()) == SEEN
    assert decode_seen(replace(SEEN, read=None).encode()) == replace(SEEN, read=None)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"group":"g","token":"t","from":"x","last":"1-0"}'])
def test_what_cannot_be_read_is_nothing(text: str) -> None:
    assert decode_seen(text) is None
