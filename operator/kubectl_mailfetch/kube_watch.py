"""Follows MailConnections: a list, then a watch, and a list again if the server has forgotten what happened since."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests

from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.model import VERSION

Manifest = dict[str, Any]
Get = Callable[..., Any]
"""GETs MailConnections with parameters; raises PluginError, `GoneError` for status 410."""


_SHORT = 1.0
"""Seconds: a watch that ends sooner has ended for a reason, and the server is left alone for a while."""
_LONGEST_PAUSE = 30.0


class GoneError(PluginError):
    """The server does not know any more what happened since a version."""


class _Pace:
    """How soon the server is asked again."""

    def __init__(self, pause: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._pause, self._clock = pause, clock
        self._began = clock()
        self._next = _SHORT

    def begin(self) -> None:
        """A request is sent."""
        self._began = self._clock()

    def end(self) -> None:
        """It has ended. Waits if that was soon, longer each time."""
        if self._clock() - self._began >= _SHORT:
            self._next = _SHORT
            return
        self._pause(self._next)
        self._next = min(2 * self._next, _LONGEST_PAUSE)


def follow(
    get: Get,
    *,
    name: str,
    tick: int,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Sequence[Manifest]]:
    """All objects, again whenever one of them changed, and at least at each tick.

    Args:
        get: Asks the server.
        name: Only this one; empty: all.
        tick: Seconds.
        pause: Waits for so many seconds.
        clock: Seconds since some moment.

    Raises:
        PluginError: the server refuses.
    """
    pace = _Pace(pause, clock)
    only = {"fieldSelector": f"metadata.name={name}"} if name else {}
    while True:
        listed = get(params=only).json()
        items = {_key(i): {"apiVersion": VERSION, "kind": "MailConnection", **i} for i in listed.get("items") or []}
        yield list(items.values())
        with contextlib.suppress(GoneError):
            yield from _changes(get, only, items, str(listed["metadata"]["resourceVersion"]), tick, pace)
        pace.end()


def _changes(
    get: Get, only: Mapping[str, str], items: dict[tuple[str, str], Manifest], since: str, tick: int, pace: _Pace
) -> Iterator[Sequence[Manifest]]:
    while True:
        params = {**only, "watch": "true", "resourceVersion": since, "timeoutSeconds": str(tick)}
        pace.begin()
        for event in _events(get(params=params, stream=True)):
            found = event["object"]
            if event["type"] == "ERROR":
                message = str(found.get("message", ""))
                raise GoneError(message) if found.get("code") == 410 else PluginError(f"the watch ended: {message}")
            since = found["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                items.pop(_key(found), None)
            else:
                items[_key(found)] = found
            yield list(items.values())
        yield list(items.values())
        pace.end()


def _events(response: Any) -> Iterator[Manifest]:
    """Until the server ends the stream; a broken one ends as well, and the next request tells why."""
    with contextlib.suppress(requests.exceptions.RequestException), response:
        for line in response.iter_lines():
            if line:
                yield json.loads(line)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
