"""The first act, while Kubernetes compiles: the fetcher alone, from a real Dovecot into an embedded Valkey."""

import os
import sys
import tempfile
from pathlib import Path

import redis

from hack.demo import screen, stream
from mailfetch_fetcher.embedded import embedded_valkey
from tests.servers.certs import make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.mailgen import REALISTIC, mails

USER, COUNT = "user1@mail.test", 300

MANIFEST = """\
apiVersion: mailfetch.dev/v1alpha1
kind: MailConnection
metadata: {{name: inbox, namespace: demo}}
spec:
  protocol: IMAP
  server: {{host: localhost, port: {port}}}
  tls: {{caSecretRef: {{name: ca}}}}
  auth:
    type: Password
    username: {user}
    passwordSecretRef: {{name: mailbox}}
"""
SECRETS = """\
---
{{apiVersion: v1, kind: Secret, metadata: {{name: mailbox}}, stringData: {{password: "{password}"}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: ca}}
stringData:
  ca.crt: |
    {ca}
"""


def play() -> None:
    """Downloads a few hundred mails and shows the first ones."""
    with tempfile.TemporaryDirectory(prefix="mailfetch-demo-") as name:
        folder = Path(name)
        certificates = make_certificates(folder / "certificates")
        with Dovecot(certificates) as server:
            server.fill(USER, mails(COUNT, profile=REALISTIC))
            manifest = MANIFEST.format(port=server.imaps_port, user=USER)
            ca = certificates.ca.read_text().replace("\n", "\n    ")
            (folder / "inbox.yaml").write_text(manifest + SECRETS.format(password=server.password(USER), ca=ca))
            screen.command("cat inbox.yaml")
            screen.show(manifest)
            screen.command("mailfetch-fetcher run -f inbox.yaml --yes --once")
            fetcher = str(Path(sys.executable).with_name("mailfetch-fetcher"))
            data = folder / "valkey"
            arguments = [fetcher, "run", "-f", str(folder / "inbox.yaml"), "--data", str(data), "--yes", "--once"]
            if screen.run(arguments, env=os.environ):
                raise RuntimeError("the fetcher alone did not download the mails; its output above says why")
        with embedded_valkey(data) as url:
            client = redis.Redis.from_url(url)
            key = "mail:{demo/inbox}:queue"
            screen.say()
            screen.say(f"The stream {key} holds {client.xlen(key)} mails; the first ones:")
            screen.table(stream.COLUMNS, stream.rows(client, key, count=5))
