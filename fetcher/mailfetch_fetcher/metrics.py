"""Prometheus metrics of a fetcher (names are API, see docs/operations.md)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_LABELS = ("namespace", "connection")

MESSAGES = Counter("mailfetch_messages", "Mails committed.", _LABELS, registry=REGISTRY)
BYTES = Counter("mailfetch_bytes", "Bytes of mail committed.", _LABELS, registry=REGISTRY)
LAG = Gauge("mailfetch_lag_messages", "Mails at the server that are not yet in the queue.", _LABELS, registry=REGISTRY)
LAST_SUCCESS = Gauge(
    "mailfetch_last_success_timestamp_seconds", "When a round last ended well.", _LABELS, registry=REGISTRY
)
FAILURES = Counter(
    "mailfetch_failures", "Failed attempts, by condition reason.", (*_LABELS, "reason"), registry=REGISTRY
)
LOGIN_FAILURES = Counter(
    "mailfetch_login_failures", "Refused logins, by condition reason.", (*_LABELS, "reason"), registry=REGISTRY
)
TOKEN_EXPIRY = Gauge(
    "mailfetch_token_expiry_timestamp_seconds",
    "When the OAuth2 access token in use ends; another one is fetched when the next login needs it.",
    _LABELS,
    registry=REGISTRY,
)
COMMIT_SECONDS = Histogram(
    "mailfetch_commit_seconds",
    "Time of one commit to Redis.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    registry=REGISTRY,
)
ARRIVAL_SECONDS = Histogram(
    "mailfetch_arrival_seconds",
    "From the server's date of a new mail (whole seconds) to its commit; mails of a backlog are not counted.",
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 900, 3600),
    registry=REGISTRY,
)


def observe_arrival(seconds: float | None) -> None:
    """A mail was committed so long after its date at the server (clocks may differ by a little)."""
    if seconds is not None:
        ARRIVAL_SECONDS.observe(max(seconds, 0.0))


def forget(namespace: str, connection: str) -> None:
    """Drops the series of a connection that is no longer here."""
    for metric in (MESSAGES, BYTES, LAG, LAST_SUCCESS, TOKEN_EXPIRY):
        metric.remove(namespace, connection)
    for labelled in (FAILURES, LOGIN_FAILURES):
        labelled.remove_by_labels({"namespace": namespace, "connection": connection})
