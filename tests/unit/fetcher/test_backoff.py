from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.backoff import delay
from mailfetch_fetcher.errors import FetchError, Pace


@given(
    pace=st.sampled_from(Pace),
    failures=st.integers(1, 10_000),
    chance=st.floats(0, 1, exclude_max=True, allow_nan=False),
)
def test_delay_lies_between_a_second_and_the_cap(pace: Pace, failures: int, chance: float) -> None:
    error = FetchError("ConnectionFailed", "x", pace=pace)
    assert 1.0 <= delay(error, failures, chance=chance) <= pace.value[1]


def test_delay_doubles_until_the_cap() -> None:
    error = FetchError("AuthFailed", "x", pace=Pace.SLOW)
    assert [delay(error, n, chance=0.0) for n in (1, 2, 3, 9)] == [15.0, 30.0, 60.0, 450.0]


def test_what_the_server_asks_for_is_a_lower_bound() -> None:
    error = FetchError("Throttled", "x", retry_after=3600.0)
    assert delay(error, 1, chance=0.0) == 3600.0


def test_nobody_may_ask_for_more_than_a_day() -> None:
    error = FetchError("Throttled", "x", retry_after=1e9)
    assert delay(error, 1, chance=0.0) == 86400.0
