"""`mailfetch-fetcher run -f FILE` as a person starts it: exit codes, Ctrl-C, the embedded Valkey."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.integration.fetcher.helpers import Account
from tests.servers import mailgen
from tests.servers.redis import RedisServer, free_port, wait_until

STREAM = "mail:{default/support}:queue"
Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "manifest.yaml"


def write(
    manifest: Path,
    account: Account,
    *,
    password: str = "",
    made: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> None:
    """The account as a file; `made` is a whole spec."""
    ca = account.dovecot.certificates.ca.read_text()
    password = password or account.dovecot.password(account.user)
    documents = [
        {
            "kind": "MailConnection",
            "metadata": {"name": "support", "annotations": annotations or {}},
            "spec": made or account.spec(**spec),
        },
        {"kind": "Secret", "metadata": {"name": "mailbox"}, "stringData": {"password": password}},
        {"kind": "Secret", "metadata": {"name": "ca"}, "stringData": {"ca.crt": ca}},
    ]
    manifest.write_text("\n---\n".join(map(json.dumps, documents)))


@pytest.fixture
def run(manifest: Path) -> Any:
    """Starts one; all end with the test."""
    made: list[subprocess.Popen[str]] = []

    def start(*options: str, command: str = "run", group: bool = False, **variables: str) -> "subprocess.Popen[str]":
        words = [sys.executable, "-m", "mailfetch_fetcher.main", command, "-f", str(manifest), *options]
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | variables,
            start_new_session=group,
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    told, _ = process.communicate(timeout=100)
    return process.returncode, told


def test_once_ends_when_all_is_done(manifest: Path, run: Run, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(120))
    write(manifest, account)
    assert finish(run("--redis", server.url, "--once"))[0] == 1  # more than approval.maxMessages, and nobody to ask
    assert not server.client().exists(STREAM)
    code, told = finish(run("--redis", server.url, "--once", "--yes"))
    assert (code, server.client().xlen(STREAM)) == (0, 120), told
    assert "up to date, 120 mails" in told
    assert all(flags == {"\\seen"} for flags in account.dovecot.flags(account.user).values())
    assert not server.client().exists("mail:{default/support}:conn:support:lease")


def test_pop3(manifest: Path, run: Run, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(20))
    write(manifest, account, made=account.pop3(afterDownload={"action": "Delete"}))
    code, told = finish(run("--redis", server.url, command="probe"))
    assert code == 0, told
    assert "20 new mails of 20 (a new mailbox; Exact, confidence High)" in told
    assert not server.client().exists(STREAM)
    code, told = finish(run("--redis", server.url, "--once"))
    assert (code, server.client().xlen(STREAM), account.left()) == (0, 20, 0), told
    write(manifest, account, made=account.pop3(folder="INBOX"))
    code, told = finish(run("--redis", server.url, "--once"))
    assert (code, "POP3 has no folders" in told) == (2, True), told


def test_a_flood_after_a_reset_needs_a_yes(manifest: Path, run: Run, server: RedisServer, account: Account) -> None:
    """A migration wrote all dates anew, so nothing is recognised."""
    named = [mail for mail in mailgen.mails(30) if b"\nmessage-id:" in mail.lower()]
    account.dovecot.fill(account.user, named)
    approval = {"maxMessages": 10}
    write(manifest, account, approval=approval)
    assert finish(run("--redis", server.url, "--once", "--yes"))[0] == 0
    account.dovecot.doveadm("expunge", "-u", account.user, "mailbox", "INBOX", "all")
    account.dovecot.set_uid_validity(account.user, 4711)
    account.dovecot.fill(account.user, named, received=mailgen.FIRST_DATE + timedelta(days=100))
    code, told = finish(run("--redis", server.url, "--once"))
    assert (code, server.client().xlen(STREAM)) == (1, len(named))
    assert "UIDVALIDITY" in told
    code, told = finish(run("--redis", server.url, "--once", "--yes"))
    assert (code, server.client().xlen(STREAM)) == (0, 2 * len(named)), told


def test_pop3_mails_under_new_names_are_told_before_people_say_yes(
    manifest: Path, run: Run, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(20))
    write(manifest, account, made=account.pop3(approval={"maxMessages": 10}))
    code, told = finish(run("--redis", server.url, "--once", "--yes"))
    assert (code, "POP3 cannot mark mails as read" in told) == (0, True), told
    assert "would come once more" not in told
    account.dovecot.set_uid_validity(account.user, 4711)  # a part of Dovecot's UIDLs
    code, told = finish(run("--redis", server.url, "--once"))
    assert (code, server.client().xlen(STREAM)) == (1, 20), told
    assert "would come once more" in told


def test_what_is_set_aside_waits_or_is_asked_for_again_is_told(
    manifest: Path, run: Run, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, [mailgen.large_mail(20_000), *mailgen.mails(2, profile=mailgen.SMALL)])
    limit, later = {"maxMessageSize": "19k"}, {"action": "Delete", "delay": "1h"}
    write(manifest, account, queue=limit, afterDownload=later)
    code, told = finish(run("--redis", server.url, "--once"))
    assert code == 0, told
    assert "up to date, 2 mails downloaded in all, 1 in quarantine" in told
    assert "the mail with UID 1 in folder INBOX is in quarantine" in told
    assert "2 after-download actions: these mails wait until 1h have passed" in told
    write(manifest, account, queue=limit, afterDownload=later, annotations={"mailfetch.dev/refetch": "uid:2#again"})
    for _ in range(2):  # once for each value
        code, told = finish(run("--redis", server.url, "--once"))
        assert (code, server.client().xlen(STREAM)) == (0, 3), told


@pytest.mark.parametrize("command", ["run", "probe", "purge"])
def test_outside_of_a_pod_a_file_is_needed(command: str) -> None:
    pod = {"POD_NAME", "MAILFETCH_PROBE", "MAILFETCH_PURGE"}
    done = subprocess.run(
        [sys.executable, "-m", "mailfetch_fetcher.main", command],
        env={name: value for name, value in os.environ.items() if name not in pod},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert ("-f FILE" in done.stderr) == (command != "purge")


def test_once_tells_failures_by_its_exit_code(manifest: Path, run: Run, server: RedisServer, account: Account) -> None:
    account.dovecot.fill(account.user, mailgen.mails(3))
    write(manifest, account, password="wrong")
    code, told = finish(run("--redis", server.url, "--once", "--yes"))
    assert code == 1
    assert told.count("AuthFailed: ") == 2, told  # by the probe, and by the fetcher
    assert told.count("refused the login") == 2, told
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    write(manifest, account)
    code, told = finish(run("--redis", server.url, "--once", "--yes"))
    assert (code, server.client().xlen(STREAM)) == (1, 3)
    assert "3 after-download actions, StoreUnsafe" in told


def test_once_waits_for_the_lease_of_a_run_that_was_killed(
    manifest: Path, run: Run, server: RedisServer, account: Account
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(3))
    write(manifest, account)
    state = "mail:{default/support}:conn:support"
    first = run("--redis", server.url, "--yes", MAILFETCH_LEASE_SECONDS="3")
    wait_until(lambda: server.client().xlen(STREAM) == 3, what="three mails")
    first.kill()
    assert server.client().exists(f"{state}:lease")
    code, told = finish(run("--redis", server.url, "--yes", "--once", MAILFETCH_LEASE_SECONDS="3"))
    assert code == 0, told


def test_another_mailbox_needs_a_yes(
    manifest: Path, run: Run, server: RedisServer, account: Account, make_account: Callable[[], Account]
) -> None:
    for seed, one in enumerate((account, other := make_account())):
        one.dovecot.fill(one.user, mailgen.mails(3, seed=seed))
    write(manifest, account)
    assert finish(run("--redis", server.url, "--once"))[0] == 0
    write(manifest, other)
    code, told = finish(run("--redis", server.url, "--once"))
    assert (code, server.client().xlen(STREAM)) == (1, 3)
    assert "another mailbox" in told
    code, told = finish(run("--redis", server.url, "--once", "--yes"))
    assert (code, server.client().xlen(STREAM)) == (0, 6), told


@pytest.mark.parametrize("text", ["", "kind: Pod", "{", "kind: MailConnection", "kind: MailConnection\nmetadata: x"])
def test_a_bad_file_is_told_in_one_line(manifest: Path, run: Run, server: RedisServer, text: str) -> None:
    manifest.write_text(text)
    code, told = finish(run("--redis", server.url, "--once"))
    assert code == 2
    assert told.startswith("mailfetch-fetcher: ")
    assert "Traceback" not in told


def test_a_bad_redis_url_is_told_without_its_password(manifest: Path, run: Run, account: Account) -> None:
    write(manifest, account)
    for url in ("redis://127.0.0.1:6379/0?password=s3cr3t", "redis://:s3cr3t@127.0.0.1:1/0", "http://:s3cr3t@x"):
        _, told = finish(run("--redis", url, "--once", "--yes"))
        assert "s3cr3t" not in told
        assert "Traceback" not in told


def test_a_taken_port_is_told_in_one_line(manifest: Path, run: Run, server: RedisServer, account: Account) -> None:
    write(manifest, account)
    code, told = finish(run("--redis", server.url, "--http", str(server.port), "--yes"))
    assert code == 2
    assert "Traceback" not in told


# ---- the embedded Valkey ----


def _url(data: Path) -> str:
    """Of the Valkey that runs on this directory (from its log)."""
    ports = [line.rsplit("=", 1)[1] for line in (data / "valkey.log").read_text().splitlines() if "port=" in line]
    return f"redis://127.0.0.1:{ports[-1].strip(' .')}/0"


def test_ctrl_c_ends_the_sessions_before_the_valkey(manifest: Path, run: Run, account: Account, tmp_path: Path) -> None:
    account.dovecot.fill(account.user, mailgen.mails(5))
    write(manifest, account)
    data, http = tmp_path / "data", free_port()
    process = run("--yes", "--data", str(data), "--http", str(http), group=True)
    assert process.stdout
    while "up to date" not in (line := process.stdout.readline()):
        assert line, "it ended"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
    code, told = finish(process)
    assert code == 0
    assert "Traceback" not in told
    assert "no connection to Redis" not in told
    assert finish(run("--once", "--data", str(data)))[0] == 0  # nothing new; the lease was given back


def test_a_killed_run_leaves_no_valkey_behind_and_loses_nothing(
    manifest: Path, run: Run, account: Account, tmp_path: Path
) -> None:
    account.dovecot.fill(account.user, mailgen.mails(5))
    write(manifest, account)
    data = tmp_path / "data"
    process = run("--yes", "--data", str(data), MAILFETCH_LEASE_SECONDS="2")
    assert process.stdout
    while "up to date" not in (line := process.stdout.readline()):
        assert line, "it ended"
    url = _url(data)
    second = run("--yes", "--once", "--data", str(data))
    process.kill()
    code, told = finish(second)  # waits for the first Valkey to be gone
    assert code == 0, told
    assert "up to date, 5 mails" in told
    with pytest.raises(redis_py.ConnectionError):
        redis_py.Redis.from_url(url).ping()


def test_two_runs_do_not_share_a_valkey(manifest: Path, run: Run, account: Account, tmp_path: Path) -> None:
    write(manifest, account)
    data = tmp_path / "data"
    process = run("--yes", "--data", str(data))
    assert process.stdout
    while "up to date" not in (line := process.stdout.readline()):
        assert line, "it ended"
    code, told = finish(run("--yes", "--once", "--data", str(data)))
    assert code == 2
    assert "another mailfetch-fetcher" in told
