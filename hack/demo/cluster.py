"""The second act: the operator on a real cluster, from an empty namespace to a new mail that arrives."""

import imaplib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from hack.demo import keeper, screen, stream
from tests.cluster.base import Cluster

NAMESPACE, NAME = "helpdesk", "support"
KEY = f"mail:{{{NAMESPACE}/{NAME}}}:queue"
CHART = Path(__file__).resolve().parents[2] / "charts/mailfetch"

MANIFEST = """\
apiVersion: mailfetch.dev/v1alpha1
kind: MailConnection
metadata: {{name: support, namespace: helpdesk}}
spec:
  description: Customer support inbox
  protocol: IMAP
  server: {{host: {host}, port: {port}}}
  tls: {{caSecretRef: {{name: mail-ca}}}}
  auth:
    type: Password
    username: {user}
    passwordSecretRef: {{name: support-mailbox}}
"""


@dataclass(frozen=True, kw_only=True)
class Mail:
    """The mail server that the keeper runs."""

    host: str
    port: int
    ca: Path


def install(cluster: Cluster) -> None:
    """The chart, with its bundled Redis."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    repository, _, tag = cluster.image.rpartition(":")
    redis_repository, _, redis_tag = cluster.redis_image.rpartition(":")
    settings = {
        "image.repository": repository,
        "image.tag": tag,
        "redis.bundled": "true",
        "redis.image.repository": redis_repository,
        "redis.image.tag": redis_tag,
        "namespaces": "{" + NAMESPACE + "}",
    }
    flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    screen.command(
        f"helm install mailfetch charts/mailfetch -n mailfetch --create-namespace --set namespaces={{{NAMESPACE}}} …"
    )
    done = cluster.helm(
        "install", "mailfetch", str(CHART), "-n", "mailfetch", "--create-namespace", "--wait", "--timeout", "5m", *flags
    )
    screen.show("\n".join(done.stdout.splitlines()[:6]))
    screen.command("kubectl -n mailfetch get pods")
    screen.show(cluster.kubectl("-n", "mailfetch", "get", "pods").stdout)


def connect(cluster: Cluster, mail: Mail) -> None:
    """Secrets and the MailConnection: declared, but disabled."""
    password = f"--from-literal=password={keeper.PASSWORD}"
    cluster.kubectl("-n", NAMESPACE, "create", "secret", "generic", "support-mailbox", password)
    cluster.kubectl("-n", NAMESPACE, "create", "secret", "generic", "mail-ca", f"--from-file=ca.crt={mail.ca}")
    text = MANIFEST.format(host=mail.host, port=mail.port, user=keeper.USER)
    screen.command("cat support.yaml")
    screen.show(text)
    screen.command("kubectl apply -f support.yaml")
    screen.show(cluster.kubectl("apply", "-f", "-", input=text).stdout)
    _until(cluster, "the operator to see it", lambda ready, _: ready.get("reason") == "Disabled")
    _get(cluster)
    screen.say("A new connection is disabled: nothing is downloaded until somebody says so.")


def approve(cluster: Cluster) -> None:
    """Enable, see the estimate and the closed gate, acknowledge."""
    _annotate(cluster, "mailfetch.dev/enable=true")
    _until(cluster, "the probe", lambda ready, _: ready.get("reason") == "AwaitingApproval")
    _get(cluster)
    status = _status(cluster)
    e = status["estimate"]
    screen.say(
        f"The estimate: {e['newMessages']} of {e['totalMessages']} mails are new, {e['unseenMessages']} unread; "
        f"accuracy {e['accuracy']}, confidence {e['confidence']}. The gate stays closed and says why:"
    )
    screen.say(next(c["message"] for c in status["conditions"] if c["type"] == "Ready"))
    screen.say()
    _annotate(cluster, f"mailfetch.dev/acknowledge={status['estimate']['newMessages']}")
    _until(cluster, "the mails", lambda _, s: s.get("fetch", {}).get("messages", 0) >= keeper.COUNT)
    _get(cluster)


def look(cluster: Cluster) -> Any:
    """The first mails of the stream."""
    client = _redis(cluster)
    screen.say(f"The stream {KEY} holds {client.xlen(KEY)} mails; the first ones:")
    screen.table(stream.COLUMNS, stream.rows(client, KEY, count=5))
    return client


def deliver(client: Any, mail: Mail) -> None:
    """A new mail, and how it arrives."""
    before = client.xlen(KEY)
    context = ssl.create_default_context(cafile=str(mail.ca))
    subject = f"Hello from {time.strftime('%H:%M:%S')}"
    text = f"From: Ada <ada@example.com>\r\nTo: {keeper.USER}\r\nSubject: {subject}\r\n\r\nHi!\r\n"
    with imaplib.IMAP4_SSL(mail.host, mail.port, ssl_context=context, timeout=30) as imap:
        imap.authenticate("PLAIN", lambda _: f"\0{keeper.USER}\0{keeper.PASSWORD}".encode())
        imap.append("INBOX", "", "", text.encode())
    began = time.monotonic()
    screen.say("A mail is delivered to the mailbox …")
    while client.xlen(KEY) == before:
        if time.monotonic() - began > 120:
            raise RuntimeError("the new mail did not arrive within two minutes")
        time.sleep(0.02)
    screen.say(f"… and stands in the stream {time.monotonic() - began:.1f} s later (IMAP IDLE):")
    screen.table(stream.COLUMNS, stream.rows(client, KEY, count=1, newest=True))


def events(cluster: Cluster) -> None:
    """The story as Kubernetes tells it."""
    screen.command(f"kubectl -n {NAMESPACE} describe mailconnection {NAME} | sed -n '/^Events/,$p'")
    text = cluster.kubectl("-n", NAMESPACE, "describe", "mailconnection", NAME).stdout
    screen.say(text[text.index("Events:") :].rstrip())


def start_mail(folder: Path, host_ip: str) -> Mail:
    """Starts the keeper; returns when its mail server answers."""
    log = (folder / "keeper.log").open("ab")
    arguments = [sys.executable, "-m", "hack.demo.keeper", str(folder), host_ip]
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=CHART.parents[1]
    )
    told = folder / "mail.json"

    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the mail server did not start; see {log.name}")
        return told.exists()

    screen.wait("the mail server", ready)
    found = json.loads(told.read_text())
    return Mail(host=found["host"], port=found["port"], ca=Path(found["ca"]))


# ---- inside ----


def _annotate(cluster: Cluster, what: str) -> None:
    screen.command(f"kubectl -n {NAMESPACE} annotate mailconnection {NAME} {what}")
    screen.show(cluster.kubectl("-n", NAMESPACE, "annotate", "mailconnection", NAME, what).stdout)


def _get(cluster: Cluster) -> None:
    screen.command("kubectl get mailconnections -n helpdesk")
    screen.show(cluster.kubectl("-n", NAMESPACE, "get", "mailconnections").stdout)


def _status(cluster: Cluster) -> dict[str, Any]:
    text = cluster.kubectl("-n", NAMESPACE, "get", "mailconnection", NAME, "-o", "json").stdout
    status: dict[str, Any] = json.loads(text).get("status", {})
    return status


def _until(cluster: Cluster, what: str, condition: Callable[[dict[str, Any], dict[str, Any]], bool]) -> None:
    def met() -> bool:
        status = _status(cluster)
        ready: dict[str, Any] = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
        return condition(ready, status)

    try:
        screen.wait(what, met)
    except RuntimeError as e:
        shown = cluster.kubectl("-n", NAMESPACE, "get", "mailconnection", NAME, "-o", "yaml").stdout
        pods = cluster.kubectl("get", "pods", "-A").stdout
        raise RuntimeError(f"{e}\n{shown}\n{pods}") from e


def _redis(cluster: Cluster) -> Any:
    """The bundled Redis, from outside the cluster: its Secret's URL, with the Service's address for its name."""
    get = ("get", "-o")
    url = cluster.kubectl(
        "-n", NAMESPACE, *get, "go-template={{.data.url | base64decode}}", "secret", "mailfetch-redis"
    ).stdout
    host = url.rpartition("@")[2].partition(":")[0]
    service, _, rest = host.partition(".")
    path = "jsonpath={.spec.clusterIP}"
    address = cluster.kubectl("-n", rest.partition(".")[0], *get, path, "service", service).stdout
    return redis.Redis.from_url(url.replace(host, address))
