from datetime import UTC, datetime, timedelta, timezone

import pytest

from kubectl_mailfetch.times import age, ago, span
from tests.unit.plugin.samples import NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 1800, "5h30m"),
        (47 * 3600, "47h"),
        (2 * 86400, "2d"),
        (3 * 86400 + 4 * 3600, "3d4h"),
        (300 * 86400, "300d"),
        (800 * 86400, "2y70d"),
    ],
)
def test_spans_are_written_as_kubectl_does(seconds: int, text: str) -> None:
    assert span(seconds) == text


def test_a_clock_that_is_ahead_gives_no_negative_age() -> None:
    assert age(NOW + timedelta(minutes=5), now=NOW) == "0s"
    assert age(None, now=NOW) == ""


def test_moments_are_shown_in_utc() -> None:
    east = datetime(2026, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=2)))
    assert ago(east, now=NOW) == "60m ago (2026-01-31 11:00 UTC)"
    assert ago(None, now=datetime.now(UTC)) == "never"
