"""`mailfetch-fetcher purge`: the Job for `deletionPolicy: Purge` (`contract/purge.py`)."""

import logging
import os
from pathlib import Path

from mailfetch_fetcher.clock import Clock, rfc3339
from mailfetch_fetcher.contract import mounts
from mailfetch_fetcher.contract import purge as contract
from mailfetch_fetcher.contract.assignment import decode
from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.contract.probe import PATH
from mailfetch_fetcher.contract.purge import PurgeResult
from mailfetch_fetcher.contract.report import Problem
from mailfetch_fetcher.environment import pod_uid, redis_target
from mailfetch_fetcher.errors import FetchError
from mailfetch_fetcher.store.model import Owner
from mailfetch_fetcher.store.purge import purge

log = logging.getLogger(__name__)


def purge_connection(text: str, *, redis: Path, pod_uid: str, clock: Clock) -> PurgeResult:
    """Removes everything that Redis holds of one connection. Never raises `FetchError`.

    Args:
        text: `assignment.encode` of it.
        redis: Directory of the mounted Redis Secret.
        pod_uid: UID of this pod.
        clock: For the time of a problem.
    """
    assignments = decode(text)
    a = assignments.connections[0]
    try:
        removed = purge(
            redis_target(redis, namespace=a.namespace),
            StreamKeys(namespace=a.namespace, stream=a.stream).connection(a.name),
            cluster_id=assignments.cluster_id,
            owner=Owner(pod_uid=pod_uid),
        )
    except FetchError as e:
        return PurgeResult(uid=a.uid, problem=Problem(reason=e.reason, message=e.message, time=rfc3339(clock.now())))
    return PurgeResult(uid=a.uid, removed=removed)


def run_purge_job() -> int:
    """The purge container: assignment from the environment, result to the termination message.

    Returns:
        0 only if nothing is left.
    """
    clock = Clock()
    try:
        text = os.environ[contract.VARIABLE]
        result = purge_connection(text, redis=Path(mounts.REDIS_MOUNT), pod_uid=pod_uid(), clock=clock)
    except Exception:
        log.exception("internal error")
        text = "internal error in the purge; the log of its pod has the details, please report it"
        problem = Problem(reason="FetcherUnavailable", message=text, time=rfc3339(clock.now()))
        result = PurgeResult(problem=problem)
    message = contract.encode(result)
    log.info("purge finished", extra={"result": message.decode()})
    Path(PATH).write_bytes(message)
    return 1 if result.problem else 0
