"""What the documentation says about Redis, carried out: the ACL users and the consumer recipe."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.store.opening import preflight_keys
from mailfetch_fetcher.store.scripts import PREFLIGHT
from tests.servers.redis import Kind, RedisServer

ROOT = Path(__file__).parents[3]
CONSUMERS = (ROOT / "docs/consumers.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
STREAM = "mail:{helpdesk/support}"
CONNECTION = f"{STREAM}:conn:support"
QUEUE = f"{STREAM}:queue"


@pytest.fixture(params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    kind: Kind = request.param
    with RedisServer(kind=kind) as running:
        yield running


def set_up_user(server: RedisServer, page: str) -> Any:
    """Runs the page's ACL lines as they stand there; a line for newer servers only is left out on older ones."""
    admin: Any = server.client()
    version = tuple(int(n) for n in admin.info("server")["redis_version"].split(".")[:2])
    lines = [line.partition("#") for line in re.findall(r"^ACL SETUSER .*$", page, re.MULTILINE)]
    for command, _, note in lines:
        if not note or version >= (7, 2):
            admin.execute_command(*command.split())
    user = lines[0][0].split()[2]
    return server.client(username=user, password="PASSWORD")


def refused(client: Any, *command: Any) -> bool:
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    return False


def test_the_users_of_the_documentation_may_do_what_they_need_and_no_more(server: RedisServer) -> None:
    fetcher = set_up_user(server, OPERATIONS)
    keys = preflight_keys(StreamKeys(namespace="helpdesk", stream="support").connection("support"))
    assert fetcher.execute_command("EVAL", PREFLIGHT, len(keys), *keys) == []
    fetcher.execute_command("XADD", f"{STREAM}:log", "*", "step", "stored")
    fetcher.execute_command("RENAME", f"{STREAM}:log", f"{STREAM}:other")
    assert fetcher.info("server")["run_id"]
    assert fetcher.config_get("appendfsync")
    assert refused(fetcher, "SET", "mail:{payroll/x}:queue", "1")
    assert refused(fetcher, "FLUSHALL")
    assert refused(fetcher, "CONFIG", "SET", "appendonly", "no")

    consumer = set_up_user(server, CONSUMERS)
    fetcher.execute_command("XGROUP", "CREATE", QUEUE, "tickets", "0", "MKSTREAM")
    fetcher.execute_command("XGROUP", "CREATECONSUMER", QUEUE, "tickets", "mailfetch-sentinel")
    assert consumer.execute_command("XREADGROUP", "GROUP", "tickets", "w", "STREAMS", QUEUE, ">") == []
    assert refused(consumer, "XGROUP", "CREATE", QUEUE, "another", "$")
    assert refused(consumer, "XGROUP", "SETID", QUEUE, "tickets", "$")
    assert refused(consumer, "XGROUP", "DESTROY", QUEUE, "tickets")
    assert consumer.execute_command("XINFO", "GROUPS", QUEUE)
    assert consumer.execute_command("XREVRANGE", f"{STREAM}:log", "+", "-", "COUNT", "20") == []
    assert refused(consumer, "XDEL", QUEUE, "0-1")
    assert refused(consumer, "SET", f"{STREAM}:blob:x", "1")
    assert refused(consumer, "HGETALL", f"{CONNECTION}:state")


def test_the_python_recipe_keeps_small_and_large_mails_and_takes_over(server: RedisServer) -> None:
    admin: Any = server.client()
    admin.xgroup_create(QUEUE, "tickets", id="0", mkstream=True)
    mails = {"a" * 32: b"Subject: small\r\n\r\nhello", "b" * 32: b"Subject: large\r\n\r\n" + b"x" * 100_000}
    for name, raw in mails.items():
        fields: dict[Any, Any] = {"id": name, "sha256": hashlib.sha256(raw).hexdigest()}
        if len(raw) > 65536:
            admin.set(f"{STREAM}:blob:{name}", raw)
            fields["blob"] = f"{STREAM}:blob:{name}"
        else:
            fields["raw"] = raw
        admin.xadd(QUEUE, fields)
    admin.xreadgroup("tickets", "dead-worker", {QUEUE: ">"}, count=1)
    admin.execute_command(
        "XCLAIM", QUEUE, "tickets", "dead-worker", 0, *[p["message_id"] for p in pending(admin)], "IDLE", 3_600_000
    )

    recipe = re.search(r"```python\n(.*?)```", CONSUMERS, re.DOTALL)
    assert recipe
    scope: dict[str, Any] = {}
    exec(recipe[1], scope)
    kept: list[tuple[str, bytes]] = []
    consumer = set_up_user(server, CONSUMERS)
    assert scope["round_of"](consumer, lambda name, mail: kept.append((name, mail))) == 2
    assert dict(kept) == mails
    assert pending(admin) == []


def test_the_python_recipe_does_not_acknowledge_what_was_not_kept(server: RedisServer) -> None:
    admin: Any = server.client()
    admin.xgroup_create(QUEUE, "tickets", id="0", mkstream=True)
    admin.xadd(QUEUE, {"id": "c" * 32, "raw": b"other bytes", "sha256": hashlib.sha256(b"stored bytes").hexdigest()})
    recipe = re.search(r"```python\n(.*?)```", CONSUMERS, re.DOTALL)
    assert recipe
    scope: dict[str, Any] = {}
    exec(recipe[1], scope)
    with pytest.raises(ValueError, match="is not what was stored"):
        scope["round_of"](set_up_user(server, CONSUMERS), lambda name, mail: None)
    assert len(pending(admin)) == 1


def pending(admin: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.xpending_range(QUEUE, "tickets", min="-", max="+", count=10)
    return found
