"""How long to wait after a failure: full jitter, doubling, capped (pure, the random number is passed in)."""

from mailfetch_fetcher.errors import FetchError

LONGEST_ASKED = 86400.0
"""Seconds: more than a day is not granted to whoever asks for patience (it is their text that is read)."""


def delay(error: FetchError, failures: int, *, chance: float) -> float:
    """Seconds until the next attempt.

    Args:
        error: The last failure; what the other side asked for (`retry_after`) is a lower bound.
        failures: Consecutive failures, 1 for the first.
        chance: A random number in [0, 1).

    Returns:
        At least a second, so that a failure that comes at once never becomes a hot loop.
    """
    first, cap = error.pace.value
    ceiling = min(cap, first * 2.0 ** min(failures - 1, 20))
    wait = max(1.0, ceiling / 2 + chance * ceiling / 2)
    if error.retry_after is None:
        return wait
    # With some jitter, so that all who were sent away together do not come back together.
    return max(wait, min(error.retry_after, LONGEST_ASKED) + chance * first)
