"""The script of `helm test` against real servers: one Redis, and one behind Sentinels."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.chart.rendering import CHART
from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSetup


@pytest.fixture
def health() -> Iterator[str]:
    """An operator that is well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/healthz"
    finally:
        server.shutdown()
        server.server_close()


def check(health: str, mount: Path) -> tuple[int, str]:
    """Runs it as the pod does."""
    script = (CHART / "files/check.py").read_text()
    argv = [sys.executable, "-c", script, health, str(mount)]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_one_redis(health: str, tmp_path: Path) -> None:
    with RedisServer(password="secret") as server:
        (tmp_path / "url").write_text(f"redis://default:secret@127.0.0.1:{server.port}/0\n")
        status, text = check(health, tmp_path)
        assert (status, "redis: ok" in text) == (0, True), text
        (tmp_path / "url").write_text(f"redis://default:wrong@127.0.0.1:{server.port}/0")
        status, text = check(health, tmp_path)
        assert status == 1
        assert "Redis cannot be used with the Secret mailfetch-redis" in text
        assert "wrong" not in text.replace("WRONGPASS", "")


def test_sentinels(health: str, tmp_path: Path) -> None:
    with SentinelSetup() as setup:
        (tmp_path / "url").write_text(setup.url)
        status, text = check(health, tmp_path)
        assert (status, "redis: ok" in text) == (0, True), text


def test_no_secret(health: str, tmp_path: Path) -> None:
    status, text = check(health, tmp_path)
    assert status == 1
    assert "has no Secret mailfetch-redis" in text


def test_an_operator_that_is_not_there(tmp_path: Path) -> None:
    status, text = check("http://127.0.0.1:1/healthz", tmp_path)
    assert status == 1
    assert "the operator does not answer" in text
