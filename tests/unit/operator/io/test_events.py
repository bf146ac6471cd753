import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from mailfetch_operator.api.client import ApiError
from mailfetch_operator.events import Events, build_event
from mailfetch_operator.model import EventPlan

CONNECTION = {"metadata": {"name": "support", "namespace": "helpdesk", "uid": "u"}}
START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


def plan(note: str = "n") -> EventPlan:
    return EventPlan(type="Normal", reason="Enabled", action="Enable", note=note)


class RecordingApi:
    """Stands for the API server, which is another process; records what would be sent."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.merged: list[dict[str, Any]] = []
        self.failing = False

    async def create(self, _kind: object, body: dict[str, Any]) -> None:
        if self.failing:
            raise ApiError(500, "down")
        self.created.append(body)

    async def merge(self, _kind: object, **arguments: Any) -> None:
        if self.failing:
            raise ApiError(404, "expired")
        self.merged.append(arguments)


def test_names_sort_by_time_because_kubectl_shows_events_in_that_order() -> None:
    moments = [START + timedelta(microseconds=n * 7, seconds=n % 3) for n in range(50)]
    events = [build_event(CONNECTION, plan(str(n)), now=m, instance="i") for n, m in enumerate(moments)]
    by_name = sorted(events, key=lambda e: e["metadata"]["name"])
    assert [e["eventTime"] for e in by_name] == sorted(e["eventTime"] for e in events)


def test_the_same_event_counts_up_for_an_hour() -> None:
    api, now = RecordingApi(), [START]
    events = Events(api=api, now=lambda: now[0])  # type: ignore[arg-type]
    for minutes in (0, 10, 59, 61):
        now[0] = START + timedelta(minutes=minutes)
        asyncio.run(events.send(CONNECTION, plan()))
    assert len(api.created) == 2
    assert [m["body"]["series"]["count"] for m in api.merged] == [2, 3]
    assert {m["name"] for m in api.merged} == {api.created[0]["metadata"]["name"]}


def test_an_event_that_cannot_be_sent_is_dropped() -> None:
    api = RecordingApi()
    api.failing = True
    asyncio.run(Events(api=api, now=lambda: START).send(CONNECTION, plan()))  # type: ignore[arg-type]
    assert api.created == []


def test_an_event_that_expired_is_made_anew() -> None:
    api = RecordingApi()
    events = Events(api=api, now=lambda: START)  # type: ignore[arg-type]
    asyncio.run(events.send(CONNECTION, plan()))
    api.failing = True
    asyncio.run(events.send(CONNECTION, plan()))
    api.failing = False
    asyncio.run(events.send(CONNECTION, plan()))
    assert (len(api.created), api.merged) == (2, [])
