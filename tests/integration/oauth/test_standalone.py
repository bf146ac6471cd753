"""`mailfetch-fetcher run -f FILE` with tokens, of the file or of `--secrets`; the names are the providers' own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.oauth.helpers import Mailbox, Providers
from tests.integration.plugin.authorizing import Authorizing
from tests.servers import mailgen
from tests.servers.redis import RedisServer
from tests.servers.resolve import child_environment, resolve


def write(manifest: Path, mailbox: Mailbox, *, without: str = "") -> None:
    ca = mailbox.dovecot.certificates.ca.read_text()
    secrets = {"client": dict(mailbox.client), "token": {"refresh-token": mailbox.refresh_token}, "ca": {"ca.crt": ca}}
    connection = {"kind": "MailConnection", "metadata": {"name": "support"}, "spec": mailbox.spec()}
    documents = [
        connection,
        *({"kind": "Secret", "metadata": {"name": n}, "stringData": s} for n, s in secrets.items() if n != without),
    ]
    manifest.write_text("\n---\n".join(map(json.dumps, documents)))


def run(manifest: Path, providers: Providers, server: RedisServer, *more: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "mailfetch_fetcher.main", "run", "-f", str(manifest), "--once", "--yes", *more]
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


@pytest.mark.parametrize("client_in", ["file", "directory"])
def test_authorized_without_a_cluster(
    providers: Providers, server: RedisServer, tmp_path: Path, client_in: str
) -> None:
    """`kubectl mailfetch authorize -f FILE --secrets DIR`, twice; the token is shown to nobody."""
    mailbox = providers.microsoft()
    mailbox.dovecot.fill(mailbox.address, mailgen.mails(3))
    providers.authority.sign_in_as = mailbox.address
    manifest, folder = tmp_path / "manifest.yaml", tmp_path / "my secrets"
    write(manifest, mailbox, without="client" if client_in == "directory" else "")
    if client_in == "directory":
        (folder / "client").mkdir(parents=True)
        for key, text in mailbox.client.items():
            (folder / "client" / key).write_text(text + "\n")
    providers.authority.revoke(mailbox.address)  # what the file has is of no use any more
    token = folder / "token" / "refresh-token"
    found = set()
    for _ in range(2):
        with (
            resolve(providers.addresses),
            Authorizing(
                *("support", "-f", str(manifest), "--secrets", str(folder)),
                kubeconfig=tmp_path / "absent",
                ca=mailbox.dovecot.certificates.ca,
                addresses=providers.addresses,
            ) as command,
        ):
            command.visit(command.address())
            assert command.end() == 0, command.output
        assert f"Wrote {token}, readable for you alone." in command.output
        assert f"mailfetch-fetcher probe -f {manifest} --secrets '{folder}'" in command.output
        assert token.stat().st_mode & 0o777 == 0o600
        assert [file.name for file in token.parent.iterdir()] == ["refresh-token"]
        assert [secret for secret in providers.authority.issued if secret in command.output] == []
        found.add(token.read_text())
    assert len(found) == 2
    done = run(manifest, providers, server, "--secrets", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.client().xlen("mail:{default/support}:queue") == 3


def test_secrets_are_completed_key_by_key(providers: Providers, server: RedisServer, tmp_path: Path) -> None:
    """Client and token stand in one Secret of the file; the directory has a better token, and that alone."""
    mailbox = providers.microsoft()
    mailbox.dovecot.fill(mailbox.address, mailgen.mails(3))
    spec = mailbox.spec()
    for ref in ("clientSecretRef", "tokenSecretRef"):
        spec["auth"]["oauth2"][ref] = {"name": "both"}
    secrets = {
        "both": {**mailbox.client, "refresh-token": "an old one"},
        "ca": {"ca.crt": mailbox.dovecot.certificates.ca.read_text()},
    }
    documents = [
        {"kind": "MailConnection", "metadata": {"name": "support"}, "spec": spec},
        *({"kind": "Secret", "metadata": {"name": n}, "stringData": s} for n, s in secrets.items()),
    ]
    (tmp_path / "manifest.yaml").write_text("\n---\n".join(map(json.dumps, documents)))
    token = tmp_path / "secrets/both/refresh-token"
    token.parent.mkdir(parents=True)  # and nothing in it: what the file has holds
    arguments = (tmp_path / "manifest.yaml", providers, server, "--secrets", str(tmp_path / "secrets"))
    assert "AADSTS" in (said := run(*arguments)).stdout + said.stderr
    token.write_text(mailbox.refresh_token)
    done = run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.client().xlen("mail:{default/support}:queue") == 3
