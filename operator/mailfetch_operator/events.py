"""Events on MailConnections (events.k8s.io), for `kubectl describe`. They tell the story; the status is the truth.

The name of an event is made of what it says and the hour, so the same event again within the hour only counts up,
also after a restart. An event that cannot be sent is dropped.
"""

import hashlib
import logging
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from mailfetch_operator import names
from mailfetch_operator.api.client import Api, ApiError, ConflictError
from mailfetch_operator.api.kinds import EVENT
from mailfetch_operator.model import EventPlan

logger = logging.getLogger(__name__)

CONTROLLER = "mailfetch.dev/operator"
NOTE = 1024
"""Characters of a note that the API takes."""
REMEMBERED = 10_000


class Events:
    """Sends events."""

    def __init__(self, *, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._counts: dict[str, int] = {}

    async def send(self, connection: Mapping[str, Any], plan: EventPlan) -> None:
        """Sends an event, or counts the same one up. Never raises because of the API server."""
        now = self._now()
        event = build_event(connection, plan, now=now, instance=socket.gethostname())
        meta = event["metadata"]
        try:
            await self._api.create(EVENT, event)
        except ConflictError:
            await self._count(meta["namespace"], meta["name"], now)
        except ApiError as e:
            logger.warning("event %s of %s was not sent: %s", plan.reason, meta["name"], e)

    async def _count(self, namespace: str, name: str, now: datetime) -> None:
        count = self._counts.pop(name, 1) + 1
        self._counts[name] = count
        if len(self._counts) > REMEMBERED:
            del self._counts[next(iter(self._counts))]
        series = {"count": count, "lastObservedTime": _micro(now)}
        try:
            await self._api.merge(EVENT, namespace=namespace, name=name, body={"series": series})
        except ApiError as e:
            logger.warning("event %s was not counted: %s", name, e)


def build_event(connection: Mapping[str, Any], plan: EventPlan, *, now: datetime, instance: str) -> dict[str, Any]:
    """The event as JSON."""
    meta = connection["metadata"]
    said = "\0".join((meta["uid"], plan.type, plan.reason, plan.note, now.strftime("%Y-%m-%dT%H")))
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "name": f"{meta['name']}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": meta["namespace"],
        },
        "eventTime": _micro(now),
        "type": plan.type,
        "reason": plan.reason,
        "action": plan.action,
        "note": plan.note if len(plan.note) <= NOTE else plan.note[: NOTE - 1] + "…",
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
    }


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
