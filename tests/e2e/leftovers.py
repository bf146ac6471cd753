"""Everything that a run leaves where people and programs look, besides the Secrets: for tests that search it."""

import json
from collections import defaultdict
from typing import Any

from tests.e2e.world import SYSTEM, World

_KINDS = "mailconnections,configmaps,deployments,replicasets,statefulsets,jobs,pods,leases.coordination.k8s.io"
_PROCESSES = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null; true"
"""A shell's: the processes of its pod, and the environment of those of the same user."""


class Leftovers:
    """Collects more with each `gather`: what belongs to a probe goes with it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._texts: defaultdict[str, dict[bytes, None]] = defaultdict(dict)

    @property
    def places(self) -> dict[str, bytes]:
        """All that was collected, by where it was."""
        return {place: b"\n".join(texts) for place, texts in self._texts.items()}

    def add(self, place: str, text: bytes) -> None:
        """The same text is kept once."""
        self._texts[place][text] = None

    def gather(self) -> None:
        """Looks into everything of the world's namespace and of the release as it is now."""
        for namespace in (self._world.namespace, SYSTEM):
            self._kubectl("the events", "-n", namespace, "get", "events", "-o", "json")
            self._kubectl("the objects", "-n", namespace, "get", _KINDS, "-o", "json")
            pods = json.loads(self._world.cluster.kubectl("-n", namespace, "get", "pods", "-o", "json").stdout)
            for pod in pods["items"]:
                self._look_into(namespace, pod)
        self._read_redis()

    def _look_into(self, namespace: str, pod: dict[str, Any]) -> None:
        name, what = pod["metadata"]["name"], _what(pod)
        self._kubectl(f"the log of {what}", "-n", namespace, "logs", name, check=False)
        if pod["status"]["phase"] != "Running":
            return
        self._kubectl(
            f"the processes of {what}", "-n", namespace, "exec", name, "--", "sh", "-c", _PROCESSES, check=False
        )
        paths = {"fetcher": ("metrics", "report"), "operator": ("metrics",)}
        for path in paths.get(what, ()):
            url = f"/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/{path}"
            self._kubectl(f"the {path} of {what}", "get", "--raw", url, check=False)

    def _kubectl(self, place: str, *arguments: str, check: bool = True) -> None:
        self.add(place, self._world.cluster.kubectl(*arguments, check=check).stdout.encode())

    def _read_redis(self) -> None:
        client = self._world.redis()
        for key in client.scan_iter("*", count=1000):
            self.add("Redis", key)
            for piece in _pieces(_value(client, key)):
                self.add("Redis", piece)


def _what(pod: dict[str, Any]) -> str:
    """The name of its container: fetcher, probe, operator, redis."""
    return str(pod["spec"]["containers"][0]["name"])


def _value(client: Any, key: bytes) -> Any:
    """Whatever a key holds, as it is: a dump would be compressed."""
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
        b"none": lambda _: b"",  # it has ended meanwhile
    }
    return read[client.type(key)](key)


def _pieces(value: Any) -> list[bytes]:
    if isinstance(value, dict):
        return [piece for pair in value.items() for part in pair for piece in _pieces(part)]
    if isinstance(value, list | tuple | set):
        return [piece for part in value for piece in _pieces(part)]
    return [value] if isinstance(value, bytes) else []
