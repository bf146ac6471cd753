"""The clocks, injected everywhere so that tests decide what time it is."""

import time
from datetime import UTC, datetime


class Clock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall clock in UTC: for people and for what is written, never for deciding how long something took."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow; stands still while the machine is suspended."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds that only grow, also while suspended (CLOCK_BOOTTIME): how long a lease may have run."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T08:15:00Z`: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
