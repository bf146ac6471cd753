import pytest

from mailfetch_fetcher.quarantine import is_due, make_record, next_retry, too_many
from mailfetch_fetcher.sources.base import Ref, Unreadable

HOUR = 3600


def unreadable(too_large: int = 0, name: bytes = b"") -> Unreadable:
    ref = Ref(key="1/7", uid=7, size=100)
    return Unreadable(ref=ref, cursor="1:7", detail="no" * 1000, too_large=too_large, name=name)


def test_the_pauses_grow_and_stay_at_three_days() -> None:
    assert [next_retry(n) // HOUR for n in range(1, 7)] == [1, 6, 24, 72, 72, 72]


def test_a_record_remembers_the_first_failure() -> None:
    first = make_record(unreadable(name=b"n"), None, now=1000)
    again = make_record(unreadable(), first, now=5000)
    assert (first.since, first.attempts, first.retry, first.size) == (1000, 1, 1000 + HOUR, 100)
    assert (again.since, again.attempts, again.retry, again.name) == (1000, 2, 5000 + 6 * HOUR, b"n")
    assert len(first.detail) < 500


@pytest.mark.parametrize(("now", "due"), [(1000 + HOUR - 1, False), (1000 + HOUR, True)])
def test_it_is_due_after_its_pause(now: int, due: bool) -> None:
    assert is_due(make_record(unreadable(), None, now=1000), now=now, limit=10) is due


@pytest.mark.parametrize(("limit", "due"), [(4999, False), (5000, True)])
def test_a_large_one_is_due_as_soon_as_it_fits(limit: int, due: bool) -> None:
    record = make_record(unreadable(too_large=5000), None, now=1000)
    assert record.kind == "TooLarge"
    assert is_due(record, now=10**10, limit=limit) is due


def test_five_within_an_hour_are_the_mails_six_are_the_server() -> None:
    assert not too_many([1000] * 5, now=1000)
    assert too_many([1000] * 6, now=1000)
    assert not too_many([1000, *[1000 + HOUR] * 5], now=1000 + HOUR)
