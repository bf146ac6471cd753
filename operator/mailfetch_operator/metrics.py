"""The operator's metrics, served on /metrics."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("mailfetch_reconcile_total", "Reconciles by result: ok or error.", ["result"])
RECONCILE_SECONDS = Histogram(
    "mailfetch_reconcile_duration_seconds", "Duration of a reconcile.", buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60)
)
WORKQUEUE_DEPTH = Gauge("mailfetch_workqueue_depth", "Keys that are due and wait for a worker.")
CONNECTIONS = Gauge(
    "mailfetch_connections", "MailConnections by state, the reason of their Ready condition.", ["state"]
)
API_REQUESTS = Counter("mailfetch_api_requests_total", "Requests to the API server.", ["verb", "code"])
"""`code` is the HTTP status, or `error` if there was no answer. Watches are not counted."""
