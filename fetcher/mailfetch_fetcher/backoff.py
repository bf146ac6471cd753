"""How long to wait after a failure: full jitter, doubling, capped (pure, the random number is passed in)."""

from mailfetch_fetcher.errors import FetchError


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
    return max(wait, error.retry_after or 0.0)
