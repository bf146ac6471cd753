"""The tools pod: `mailfetch-fetcher tools …` inside of it, called through `kubectl exec`, answers in JSON."""

from typing import Final

NAMESPACE: Final = "POD_NAMESPACE"
"""Environment variable of the pod: its namespace, which is part of the names of the keys."""

USAGE: Final = 2
"""Exit code: the command is wrong."""
NO_SUCH_MAIL: Final = 3
"""Exit code: there is no such mail."""

DELIVERIES: Final = 5
"""A mail that a consumer group got more often than that, and has still not acknowledged, counts as Failed."""

STATES: Final = ("New", "Filtered", "Processing", "Failed", "Quarantined", "Done")
"""States of a mail in the queue."""
CATEGORIES: Final = ("Download", "Filter", "Process")
RESULTS: Final = ("Succeeded", "Skipped", "Error")
