"""The judge itself: it must see a mail that is touched too early, one that is doubled, and one that is lost."""

import random
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.inboxes import GraphInbox
from tests.chaos.judge import TOUCHES, touched_early
from tests.chaos.storm import StormWorld
from tests.chaos.tap import Sent
from tests.servers.checker import Original
from tests.servers.redis import RedisServer

MakeWorld = Callable[..., AbstractContextManager[StormWorld]]


def test_the_judge_sees_what_is_wrong(make_world: MakeWorld, rng: random.Random) -> None:
    with RedisServer(kind="valkey") as redis, make_world(redis, "MarkSeen") as world:
        world.fill(20, rng)
        world.start()
        world.wait_until_done()
        world.check_now()
        client: Any = world.client
        key, fields = client.xrange(world.queue, count=1)[0]
        client.xadd(world.queue, fields)
        with pytest.raises(AssertionError, match="doubled"):
            world.check_now()
        client.xdel(world.queue, key, client.xrevrange(world.queue, count=1)[0][0])
        with pytest.raises(AssertionError, match="touched, but not in the stream"):
            world.check_now()
        with pytest.raises(AssertionError, match="lost"):
            world.judge()


MAILS = {uid: Original(sha256=f"sha-{uid}", size=1, flags=frozenset()) for uid in (1, 2, 3)}
ON_DISK = {"sha-1": 10.0, "sha-2": 20.0}
"""The third one never was."""


def early(protocol: str, *sent: tuple[float, int, bytes]) -> list[str]:
    world: Any = SimpleNamespace(originals=MAILS, setup=SimpleNamespace(protocol=protocol), inbox=Named())
    return touched_early(world, [Sent(at=at, connection=n, about=about) for at, n, about in sent], ON_DISK)


@pytest.mark.parametrize("command", [b"UID STORE %s +FLAGS.SILENT (\\Seen)", b"UID MOVE %s Done", b"UID EXPUNGE %s"])
def test_a_command_of_imap_before_the_disk(command: bytes) -> None:
    assert not early("IMAP", (20.1, 1, command % b"1:2"))
    assert early("IMAP", (19.9, 1, command % b"1:2"))
    assert not early("IMAP", (19.9, 1, command % b"1"))
    assert early("IMAP", (99.0, 1, command % b"1,3"))


class Named(GraphInbox):
    """Knows the names of three mails."""

    def __init__(self) -> None:
        pass

    def number(self, id: str) -> int:
        return {"a+": 1, "b": 2, "c": 3}.get(id, 4)


def test_a_request_to_graph_before_the_disk() -> None:
    """Whatever is no GET changes something, also what the product does not send yet."""
    path = b" /v1.0/me/messages/"
    assert not early("MicrosoftGraph", (20.1, 1, b"PATCH" + path + b"b"), (10.1, 1, b"POST" + path + b"a%2B/move"))
    assert early("MicrosoftGraph", (19.9, 1, b"PATCH" + path + b"b"))
    assert early("MicrosoftGraph", (9.9, 1, b"POST" + path + b"a%2B/move"))
    assert early("MicrosoftGraph", (99.0, 1, b"DELETE" + path + b"c"))
    assert early("MicrosoftGraph", (99.0, 1, b"DELETE" + path + b"d"))
    assert re.search(TOUCHES["MicrosoftGraph"], "DELETE /v1.0/me/messages/c")
    assert not re.search(TOUCHES["MicrosoftGraph"], "GET /v1.0/me/messages/c")


def test_a_command_of_pop3_before_the_disk() -> None:
    listed = b"UIDL\r\n+OK\r\n1 0000000100000007\r\n2 0000000200000007\r\n.\r\n"
    both = [(1.0, 1, listed), (2.0, 1, b"RETR 1\r\n"), (2.0, 1, b"RETR 2\r\n")]
    assert early("POP3", *both, (19.0, 1, b"QUIT\r\n")) == ["QUIT before what was retrieved was on disk: [2]"]
    assert not early("POP3", *both, (20.5, 1, b"QUIT\r\n"))
    assert not early("POP3", *both, (19.0, 2, b"QUIT\r\n"))  # another session, which read nothing
    assert early("POP3", *both, (19.0, 1, b"DELE 2\r\n")) == ["DELE 2 before it was on disk"]
    assert not early("POP3", *both, (19.0, 1, b"DELE 1\r\n"))
