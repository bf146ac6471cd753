"""What a complete list means for the ledger (store.md, hazard 39)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.store.prune import SECONDS, STEP, Plan, judge, steps

NOW = 1_000_000


def test_what_we_deleted_goes_with_the_next_list_and_may_not_come_back_as_new() -> None:
    plan = judge([7], marks={7: "d"}, size=100, now=NOW)
    assert (plan.remove, plan.marks, list(plan.cleared)) == ([7], {}, [])


def test_what_we_deleted_and_is_still_there_is_not_taken_for_deleted() -> None:
    plan = judge([], marks={7: "d"}, size=100, now=NOW)
    assert (plan.remove, plan.marks, list(plan.cleared)) == ([], {}, [7])


def test_the_first_absence_is_only_noted() -> None:
    assert judge([7], marks={}, size=100, now=NOW).marks == {7: f"{NOW}:1"}


@pytest.mark.parametrize(
    ("mark", "goes"),
    [
        (f"{NOW - SECONDS}:2", True),
        (f"{NOW - SECONDS}:1", False),  # the second list
        (f"{NOW - SECONDS + 1}:2", False),  # not yet a day
        (f"{NOW - SECONDS + 1}:200", False),
        (f"{NOW - 10 * SECONDS}:200", True),
        (f"{NOW + 5}:2", False),  # the clock went back
    ],
)
def test_three_lists_over_a_day(mark: str, goes: bool) -> None:
    plan = judge([7], marks={7: mark}, size=100, now=NOW)
    first, lists = mark.split(":")
    assert plan.remove == ([7] if goes else [])
    assert plan.marks == ({} if goes else {7: f"{first}:{int(lists) + 1}"})


def test_a_mark_that_cannot_be_read_begins_anew() -> None:
    assert judge([7], marks={7: "what"}, size=100, now=NOW).marks == {7: f"{NOW}:1"}


def test_what_is_back_loses_its_mark() -> None:
    plan = judge([8], marks={7: "5:1", 8: "5:1"}, size=100, now=NOW)
    assert list(plan.cleared) == [7]
    assert plan.marks == {8: "5:2"}


@pytest.mark.parametrize(
    ("vanished", "size", "frozen"),
    [
        (9, 9, False),
        (10, 10, True),
        (10, 99, True),
        (10, 100, False),
        (11, 100, True),
        (100, 1000, False),
        (101, 1000, True),
    ],
)
def test_many_that_vanish_at_once_freeze(vanished: int, size: int, frozen: bool) -> None:
    plan = judge(range(vanished), marks={}, size=size, now=NOW)
    assert plan.frozen is frozen
    assert len(plan.marks) == (0 if frozen else vanished)


def test_while_frozen_nothing_is_counted_but_what_we_deleted_goes_and_what_is_back_is_cleared() -> None:
    marks = {100: f"{NOW - 2 * SECONDS}:7", 101: "d", 102: "5:1"}
    plan = judge([*range(20), 100, 101], marks=marks, size=100, now=NOW)
    assert plan.frozen
    assert (plan.remove, plan.marks, list(plan.cleared)) == ([101], {}, [102])


def test_it_stays_frozen_until_they_are_back() -> None:
    for _ in range(5):
        assert judge(range(20), marks={}, size=100, now=NOW).frozen
    assert not judge(range(5), marks={}, size=100, now=NOW).frozen


def test_those_that_vanished_one_after_the_other_do_not_freeze() -> None:
    marks = {number: f"{NOW - 100}:1" for number in range(50)}
    assert not judge(range(55), marks=marks, size=105, now=NOW).frozen
    assert judge(range(60), marks=marks, size=105, now=NOW).frozen  # ten of the 55 that were there


@given(
    st.sets(st.integers(0, 3000)),
    st.dictionaries(st.integers(0, 3000), st.sampled_from(["d", "5:1", "5:2", f"{NOW}:2", ""])),
    st.integers(0, 5000),
)
def test_only_what_is_absent_and_marked_ever_goes(absent: set[int], marks: dict[int, str], size: int) -> None:
    plan = judge(sorted(absent), marks=marks, size=max(size, len(absent)), now=NOW)
    assert set(plan.remove) <= absent & set(marks)
    assert set(plan.marks) <= absent
    assert set(plan.cleared) == set(marks) - absent
    pieces = list(steps(plan))
    assert all(len(p.remove) + len(p.marks) + len(p.cleared) <= STEP for p in pieces)
    assert [n for p in pieces for n in p.remove] == list(plan.remove)
    assert {n: x for p in pieces for n, x in p.marks.items()} == plan.marks
    assert [n for p in pieces for n in p.cleared] == list(plan.cleared)


def test_nothing_to_do_is_no_step() -> None:
    assert list(steps(Plan(frozen=True))) == []
