"""Events on MailConnections (events.k8s.io), for `kubectl describe`. They tell the story; the status is the truth.

The same event again within an hour only counts up. An event that cannot be sent is dropped. Names begin with the time:
`kubectl describe` sorts by a field that events.k8s.io events must not set, and so shows them in the order of names.
"""

import hashlib
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mailfetch_operator import names
from mailfetch_operator.api.client import Api, ApiError
from mailfetch_operator.api.kinds import EVENT
from mailfetch_operator.model import EventPlan

logger = logging.getLogger(__name__)

CONTROLLER = "mailfetch.dev/operator"
NOTE = 1024
"""Characters of a note that the API takes."""
REMEMBERED = 10_000
AGAIN = timedelta(hours=1)


@dataclass(kw_only=True)
class _Sent:
    """An event that counts up if it happens again."""

    name: str
    at: datetime
    count: int = 1


class Events:
    """Sends events."""

    def __init__(self, *, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._sent: dict[str, _Sent] = {}

    async def send(self, connection: Mapping[str, Any], plan: EventPlan) -> None:
        """Sends an event, or counts the same one up. Never raises because of the API server."""
        now = self._now()
        meta = connection["metadata"]
        said = "\0".join((meta["uid"], plan.type, plan.reason, plan.note))
        last = self._sent.pop(said, None)
        try:
            if last and now - last.at < AGAIN:
                last.count += 1
                self._sent[said] = last
                await self._count(meta["namespace"], last, now)
                return
            event = build_event(connection, plan, now=now, instance=socket.gethostname())
            self._sent[said] = _Sent(name=event["metadata"]["name"], at=now)
            if len(self._sent) > REMEMBERED:
                del self._sent[next(iter(self._sent))]
            await self._api.create(EVENT, event)
        except ApiError as e:
            self._sent.pop(said, None)  # maybe it expired; the next one is a new event
            logger.warning("event %s of %s was not sent: %s", plan.reason, meta["name"], e)

    async def _count(self, namespace: str, sent: _Sent, now: datetime) -> None:
        series = {"count": sent.count, "lastObservedTime": _micro(now)}
        await self._api.merge(EVENT, namespace=namespace, name=sent.name, body={"series": series})


def build_event(connection: Mapping[str, Any], plan: EventPlan, *, now: datetime, instance: str) -> dict[str, Any]:
    """The event as JSON."""
    meta = connection["metadata"]
    # Two events of one reconcile happen in the same microsecond at times; the digest keeps their names apart.
    digest = hashlib.sha256(f"{plan.type} {plan.reason} {plan.note}".encode()).hexdigest()[:6]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "name": f"{meta['name']}.{int(now.timestamp() * 1_000_000):013x}{digest}",
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
