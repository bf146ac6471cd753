"""Following objects when the server ends watches at once, which a real one does only when it is in trouble."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.kube_watch import follow


class Server:
    """Answers lists with one object, and watches with these events."""

    def __init__(self, events: list[dict[str, Any]], seconds: float = 0.0) -> None:
        self.events, self.seconds = events, seconds
        self.now = 0.0
        self.pauses: list[float] = []
        self.asked: list[str] = []

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, *, params: dict[str, str], stream: bool = False) -> "Server":
        self.asked.append("watch" if "watch" in params else "list")
        self.now += self.seconds
        return self

    def json(self) -> dict[str, Any]:
        item = {"metadata": {"namespace": "helpdesk", "name": "support"}}
        return {"metadata": {"resourceVersion": "7"}, "items": [item]}

    def iter_lines(self) -> Iterator[str]:
        return iter([json.dumps(event) for event in self.events])

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def follow(self, times: int) -> None:
        found = follow(self.get, name="", tick=2, pause=self.pause, clock=lambda: self.now)
        for _ in itertools.islice(found, times):
            pass


def error(code: int) -> dict[str, Any]:
    return {"type": "ERROR", "object": {"code": code, "message": "too old resource version"}}


def test_a_server_that_ends_watches_at_once_is_asked_less_and_less() -> None:
    server = Server([])
    server.follow(9)
    assert server.pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_watch_that_lasts_is_asked_for_again_at_once() -> None:
    server = Server([], seconds=2.0)
    server.follow(9)
    assert server.pauses == []


def test_what_the_server_has_forgotten_is_listed_again_less_and_less_often() -> None:
    server = Server([error(410)])
    server.follow(4)
    assert server.asked == ["list", "watch"] * 3 + ["list"]
    assert server.pauses == [1, 2, 4]


def test_any_other_error_ends_it() -> None:
    with pytest.raises(PluginError, match="the watch ended: too old"):
        Server([error(500)]).follow(4)
