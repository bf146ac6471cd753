"""Storms: many mails, one random fault after the other, over TLS: for the points that nobody thought of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.inboxes import DovecotInbox
from tests.chaos.world import Action, Setup, World
from tests.servers.dovecot import Dovecot
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer

COMMIT = b"'NOBLOB'"
"""In the command of every commit."""


class StormWorld(World):
    """Its proxies see bytes, no requests."""

    def __init__(self, *, directory: Path, dovecot: Dovecot, redis: RedisServer, user: str, action: Action) -> None:
        self.redis = redis
        self.mail_proxy = FaultProxy(dovecot.imaps_port)
        self.redis_proxy = FaultProxy(redis.port)
        client = redis.client()
        url = f"redis://127.0.0.1:{self.redis_proxy.port}/0"
        super().__init__(
            directory=directory,
            inbox=DovecotInbox(dovecot, user, port=self.mail_proxy.port, encrypted=True),
            client=lambda: client,
            stream="chaos",
            setup=Setup(redis_url=url, action=action),
        )

    def close(self) -> None:
        super().close()
        self.mail_proxy.close()
        self.redis_proxy.close()


@contextmanager
def storm_world(
    *, directory: Path, dovecot: Dovecot, redis: RedisServer, user: str, action: Action
) -> Iterator[StormWorld]:
    """A world that leaves no process behind."""
    made = StormWorld(directory=directory, dovecot=dovecot, redis=redis, user=user, action=action)
    try:
        yield made
    finally:
        made.close()
