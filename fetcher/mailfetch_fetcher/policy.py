"""What a connection asks of its stream."""

from mailfetch_fetcher.contract.spec import Spec
from mailfetch_fetcher.contract.units import period
from mailfetch_fetcher.store.model import QueuePolicy


def queue_policy(spec: Spec) -> QueuePolicy:
    """Length, named consumer groups and retention."""
    queue, after = spec.queue, spec.after_download
    groups = {*queue.consumer_groups, *([after.consumer_group] if after.consumer_group else [])}
    return QueuePolicy(
        max_length=queue.max_length,
        consumer_groups=tuple(sorted(groups)),
        queue_seconds=period(spec.retention.queue),
        log_seconds=period(spec.retention.log),
    )
