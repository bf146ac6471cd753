"""Follows MailConnections: a list, then a watch, and a list again if the server has forgotten what happened since."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests

from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.model import VERSION

Manifest = dict[str, Any]
Get = Callable[..., Any]
"""GETs MailConnections with parameters; raises PluginError, `GoneError` for status 410."""


class GoneError(PluginError):
    """The server does not know any more what happened since a version."""


def follow(get: Get, *, name: str, tick: int) -> Iterator[Sequence[Manifest]]:
    """All objects, again whenever one of them changed, and at least at each tick.

    Args:
        get: Asks the server.
        name: Only this one; empty: all.
        tick: Seconds.
    """
    only = {"fieldSelector": f"metadata.name={name}"} if name else {}
    while True:
        listed = get(params=only).json()
        items = {_key(i): {"apiVersion": VERSION, "kind": "MailConnection", **i} for i in listed.get("items") or []}
        yield list(items.values())
        with contextlib.suppress(GoneError):
            yield from _changes(get, only, items, str(listed["metadata"]["resourceVersion"]), tick)


def _changes(
    get: Get, only: Mapping[str, str], items: dict[tuple[str, str], Manifest], since: str, tick: int
) -> Iterator[Sequence[Manifest]]:
    while True:
        params = {**only, "watch": "true", "resourceVersion": since, "timeoutSeconds": str(tick)}
        for event in _events(get(params=params, stream=True)):
            found = event["object"]
            if event["type"] == "ERROR":
                raise GoneError(str(found.get("message", "")))
            since = found["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                items.pop(_key(found), None)
            else:
                items[_key(found)] = found
            yield list(items.values())
        yield list(items.values())


def _events(response: Any) -> Iterator[Manifest]:
    """Until the server ends the stream; a broken one ends as well, and the next request tells why."""
    with contextlib.suppress(requests.exceptions.RequestException), response:
        for line in response.iter_lines():
            if line:
                yield json.loads(line)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
