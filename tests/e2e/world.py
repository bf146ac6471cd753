"""What end-to-end tests do with a cluster: install the chart, make namespaces and connections, wait for status."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from tests.cluster.base import Cluster
from tests.cluster.processes import REPOSITORY
from tests.servers import checker
from tests.servers.dovecot import Dovecot

RELEASE, SYSTEM = "mailfetch", "mailfetch"
TOOLS_POD = "mailfetch-tools-0"
"""In each namespace with connections; it downloads nothing."""
CHART = REPOSITORY / "charts/mailfetch"
DEADLINE = 240.0
"""Seconds; a Secret may take a kubelet more than a minute, and this machine may be busy."""
Object = dict[str, Any]


def install(cluster: Cluster, *settings: str, upgrade: bool = False) -> str:
    """Helm's output. The images are the cluster's."""
    repository, _, tag = cluster.image.rpartition(":")
    redis_repository, _, redis_tag = cluster.redis_image.rpartition(":")
    values = [f"image.repository={repository}", f"image.tag={tag}"]
    values += [f"redis.image.repository={redis_repository}", f"redis.image.tag={redis_tag}", *settings]
    flags = [part for value in values for part in ("--set", value)]
    verb = ["upgrade"] if upgrade else ["install", "--create-namespace"]
    return cluster.helm(*verb, RELEASE, str(CHART), "-n", SYSTEM, "--wait", "--timeout", "4m", *flags).stdout


def redis_url(cluster: Cluster) -> str:
    """The bundled Redis as this machine reaches it."""
    secret = json.loads(cluster.kubectl("-n", SYSTEM, "get", "secret", "mailfetch-redis", "-o", "json").stdout)
    url = base64.b64decode(secret["data"]["url"]).decode()
    service = json.loads(cluster.kubectl("-n", SYSTEM, "get", "service", f"{RELEASE}-redis", "-o", "json").stdout)
    return url.replace(f"{RELEASE}-redis.{SYSTEM}.svc", service["spec"]["clusterIP"])


@dataclass(kw_only=True)
class World:
    """One namespace of a test: restricted pods only, with its Redis Secret as the chart's notes say."""

    cluster: Cluster
    mail: Dovecot
    namespace: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")

    def start(self, *, with_redis: bool = True) -> "World":
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}})
        if with_redis:
            self.copy_redis_secret()
        self.secret("ca", {"ca.crt": self.mail.certificates.ca.read_text()})
        return self

    def stop(self) -> None:
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")

    # ---- writing ----

    def apply(self, obj: Object) -> None:
        self.cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(obj))

    def secret(self, name: str, values: Mapping[str, str]) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(values)})

    def copy_redis_secret(self) -> None:
        get = ("-n", SYSTEM, "get", "secret", "mailfetch-redis", "-o", "go-template={{ .data.url | base64decode }}")
        self.secret("mailfetch-redis", {"url": self.cluster.kubectl(*get).stdout})

    def connection(self, name: str, *, user: str = "user1@mail.test", secret: bool = True, **spec: Any) -> None:
        """A MailConnection to the world's mail server, disabled; `spec` replaces fields of its spec, None none."""
        if secret:
            self.secret(f"{name}-mailbox", {"password": self.mail.password(user)})
        server = {"host": self.cluster.host_ip, "port": self.mail.imaps_port}
        auth = {"type": "Password", "username": user, "passwordSecretRef": {"name": f"{name}-mailbox"}}
        full = {"protocol": "IMAP", "server": server, "auth": auth, "tls": {"caSecretRef": {"name": "ca"}}}
        full["schedule"] = {"interval": "10s", "timeout": "10s"}
        metadata = {"name": name, "namespace": self.namespace}
        kind = {"apiVersion": "mailfetch.dev/v1alpha1", "kind": "MailConnection"}
        chosen = {field: value for field, value in (full | spec).items() if value is not None}
        self.apply(kind | {"metadata": metadata, "spec": chosen})

    def annotate(self, name: str, **annotations: str) -> None:
        values = [f"mailfetch.dev/{key}={value}" for key, value in annotations.items()]
        self.kubectl("annotate", "mailconnection", name, "--overwrite", *values)

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, check=check).stdout

    # ---- reading ----

    def get(self, name: str) -> Object:
        found: Object = json.loads(self.kubectl("get", "mailconnection", name, "-o", "json"))
        return found

    def status(self, name: str) -> Object:
        found: Object = self.get(name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> Object:
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def wait_ready(self, name: str, *reasons: str) -> Object:
        """The condition Ready, once its reason is one of these."""
        return self.wait(name, lambda s: _condition(s, "Ready").get("reason") in reasons, f"Ready {'|'.join(reasons)}")

    def wait(self, name: str, condition: Callable[[Object], object], what: str) -> Object:
        """The condition Ready, once the status meets a condition; fails with all that explains why it does not."""
        deadline = time.monotonic() + DEADLINE
        while not condition(status := self.status(name)):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{name} did not come to '{what}':\n{json.dumps(status, indent=1)}\n{self.explain()}"
                )
            time.sleep(0.3)
        return _condition(status, "Ready")

    def explain(self) -> str:
        """Pods, events and logs of this namespace, and the operator's log."""
        texts = [
            self.kubectl("get", "pods,jobs", "-o", "wide", check=False),
            self.kubectl("get", "events", check=False),
            *(self.kubectl("logs", pod, "--tail=40", check=False) for pod in self.pods()),
            self.cluster.kubectl(
                "-n", SYSTEM, "logs", "deployment/mailfetch-operator", "--tail=60", check=False
            ).stdout,
        ]
        return "\n".join(texts)

    def pods(self) -> list[str]:
        return [name.partition("/")[2] for name in self.kubectl("get", "pods", "-o", "name").split()]

    def fetcher_pod(self, deployment: str = "mailfetch-pool-default") -> str:
        """The running pod of a fetcher, once there is one."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            pods = json.loads(self.kubectl("get", "pods", "-l", f"mailfetch.dev/fetcher={deployment}", "-o", "json"))
            for pod in pods["items"]:
                states = [c.get("state", {}) for c in pod["status"].get("containerStatuses", [])]
                if states and "running" in states[0] and "deletionTimestamp" not in pod["metadata"]:
                    return str(pod["metadata"]["name"])
            time.sleep(0.2)
        raise AssertionError(f"no pod of {deployment} runs:\n{self.explain()}")

    def stream(self, name: str) -> str:
        return f"mail:{{{self.namespace}/{name}}}:queue"

    def redis(self) -> Any:
        return redis.Redis.from_url(redis_url(self.cluster))

    def wait_downloaded(self, name: str, count: int) -> None:
        """So many mails are in the stream and nothing is left to do at the server.

        Looks into Redis, because the counters of a status change once a minute at most.
        """
        client, outbox = self.redis(), f"mail:{{{self.namespace}/{name}}}:conn:{name}:outbox"
        deadline = time.monotonic() + DEADLINE
        while (length := client.xlen(self.stream(name))) != count or client.zcard(outbox):
            assert length <= count, f"{name}: {length} entries for {count} mails"
            if time.monotonic() > deadline:
                status = json.dumps(self.status(name), indent=1)
                raise AssertionError(f"{name}: {length} of {count} mails:\n{status}\n{self.explain()}")
            time.sleep(0.2)

    def judge(self, name: str, *, user: str = "user1@mail.test", seen: bool = True) -> checker.Verdict:
        """The independent checker's verdict."""
        url = redis_url(self.cluster)
        return checker.check(self.mailbox(user), redis_url=url, stream=self.stream(name), expect_seen=seen)

    def mailbox(self, user: str) -> checker.Mailbox:
        """For the checker."""
        return checker.Mailbox(
            host=self.cluster.host_ip,
            port=self.mail.imaps_port,
            user=user,
            password=self.mail.password(user),
            ca=self.mail.certificates.ca,
        )

    def entries(self, name: str) -> list[checker.Entry]:
        """What the stream of a connection holds, as the checker reads it."""
        return checker.read_stream(self.redis(), self.stream(name))

    def keys(self, name: str) -> list[str]:
        """All that Redis holds of the stream of a connection."""
        pattern = self.stream(name).removesuffix("queue") + "*"
        return sorted(key.decode() for key in self.redis().scan_iter(pattern, count=1000))

    def forget(self, name: str) -> None:
        """Takes a connection and all that Redis holds of its stream away."""
        self.kubectl("delete", "mailconnection", name, "--wait=false")
        self.redis().unlink(*self.keys(name))

    def restarts(self, pod: str) -> int:
        """Of the only container of a pod."""
        path = "jsonpath={.status.containerStatuses[0].restartCount}"
        return int(self.kubectl("get", "pod", pod, "-o", path))


def _condition(status: Object, kind: str) -> Object:
    return next((c for c in status.get("conditions", []) if c["type"] == kind), {})


def opened(world: World) -> Iterator[World]:
    """For fixtures."""
    world.start()
    yield world
    world.stop()
