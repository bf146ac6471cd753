"""`mailfetch-fetcher run -f FILE` with tokens: the Secrets stand in the manifest, the names are the providers' own."""

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.oauth.helpers import Mailbox, Providers
from tests.servers import mailgen
from tests.servers.redis import RedisServer
from tests.servers.resolve import child_environment


def write(manifest: Path, mailbox: Mailbox) -> None:
    ca = mailbox.dovecot.certificates.ca.read_text()
    documents = [
        {"kind": "MailConnection", "metadata": {"name": "support"}, "spec": mailbox.spec()},
        {"kind": "Secret", "metadata": {"name": "client"}, "stringData": dict(mailbox.client)},
        {"kind": "Secret", "metadata": {"name": "token"}, "stringData": {"refresh-token": mailbox.refresh_token}},
        {"kind": "Secret", "metadata": {"name": "ca"}, "stringData": {"ca.crt": ca}},
    ]
    manifest.write_text("\n---\n".join(map(json.dumps, documents)))


def run(manifest: Path, providers: Providers, server: RedisServer) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "mailfetch_fetcher.main", "run", "-f", str(manifest), "--once", "--yes"]
    return subprocess.run(
        [*words, "--redis", server.url],
        env=child_environment(providers.addresses),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_mails_arrive(providers: Providers, server: RedisServer, tmp_path: Path) -> None:
    mailbox = providers.microsoft()
    mailbox.dovecot.fill(mailbox.address, mailgen.mails(3))
    write(tmp_path / "manifest.yaml", mailbox)
    done = run(tmp_path / "manifest.yaml", providers, server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.client().xlen("mail:{default/support}:queue") == 3
    for secret in (*providers.authority.issued, mailbox.client["client-secret"]):
        assert secret not in done.stdout + done.stderr


def test_a_revoked_authorization_is_told(providers: Providers, server: RedisServer, tmp_path: Path) -> None:
    mailbox = providers.google()
    providers.authority.revoke(mailbox.address)
    write(tmp_path / "manifest.yaml", mailbox)
    done = run(tmp_path / "manifest.yaml", providers, server)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "kubectl mailfetch authorize support -n default" in done.stdout + done.stderr
