"""The way to Redis: TLS, passwords, and that a link never comes back to life."""

import ssl
from pathlib import Path

import pytest
import redis

from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.target import parse_target, tls_context
from tests.servers.certs import Certificates
from tests.servers.proxy import FaultProxy
from tests.servers.redis import Kind, RedisServer, free_port


def test_a_dead_link_stays_dead(server: RedisServer, proxy: FaultProxy) -> None:
    link = Link(parse_target(f"redis://127.0.0.1:{proxy.port}", ca_file=None))
    assert link.call("PING") == b"PONG"
    proxy.cut()
    for _ in range(2):
        with pytest.raises(StoreError, match="no connection"):
            link.call("PING")
    assert link.dead


def test_an_error_of_redis_is_a_reply_and_the_link_lives_on(server: RedisServer) -> None:
    link = Link(parse_target(server.url, ca_file=None))
    first, second, third = link.pipeline(("SET", "a", "1"), ("LPUSH", "a", "2"), ("GET", "a"))
    assert (first, third) == (b"OK", b"1")
    assert isinstance(second, redis.ResponseError)
    with pytest.raises(redis.ResponseError):
        link.call("LPUSH", "a", "2")
    assert link.call("GET", "a") == b"1"
    link.close()


def test_a_silent_server_ends_in_a_timeout(server: RedisServer, proxy: FaultProxy) -> None:
    link = Link(parse_target(f"redis://127.0.0.1:{proxy.port}", ca_file=None), timeout=0.2)
    proxy.freeze()
    with pytest.raises(StoreError, match=r"(?i)time") as failure:
        link.call("PING")
    assert failure.value.reason == "StoreUnavailable"
    assert link.dead


def test_nobody_there() -> None:
    with pytest.raises(StoreError, match=r"no connection to Redis at redis://127\.0\.0\.1") as failure:
        Link(parse_target(f"redis://:geheim@127.0.0.1:{free_port()}", ca_file=None))
    assert failure.value.reason == "StoreUnavailable"
    assert "geheim" not in failure.value.message


@pytest.mark.parametrize("login", ["", ":falsch@", "nobody:falsch@"])
def test_a_wrong_password_is_told_with_its_remedy(kind: Kind, login: str) -> None:
    with RedisServer(kind=kind, password="geheim") as server:
        Link(parse_target(server.url, ca_file=None)).close()
        target = parse_target(f"redis://{login}127.0.0.1:{server.port}", ca_file=None)
        with pytest.raises(StoreError, match="correct its URL") as failure:
            Link(target)
        assert failure.value.pace is Pace.CONFIGURATION
        assert "falsch" not in failure.value.message


def test_a_database_that_does_not_exist(server: RedisServer) -> None:
    with pytest.raises(StoreError, match="DB index"):
        Link(parse_target(server.url.replace("/0", "/99"), ca_file=None))


# -- TLS -----------------------------------------------------------------------------------


def tls_server(certificates: Certificates, which: str) -> RedisServer:
    return RedisServer(tls=(certificates.directory / f"{which}.pem", certificates.directory / f"{which}.key"))


def test_tls_with_a_private_authority(certificates: Certificates) -> None:
    with tls_server(certificates, "server") as server:
        link = Link(parse_target(server.url, ca_file=certificates.ca))
        assert isinstance(link._connection._sock, ssl.SSLSocket)
        assert link.call("PING") == b"PONG"
        link.close()


@pytest.mark.parametrize(
    ("which", "trusted", "says"),
    [("server", False, "ca.crt"), ("expired", True, "expired"), ("wronghost", True, "127.0.0.1")],
)
def test_a_certificate_that_is_not_trusted(certificates: Certificates, which: str, trusted: bool, says: str) -> None:
    with tls_server(certificates, which) as server:
        with pytest.raises(StoreError, match=says) as failure:
            Link(parse_target(server.url, ca_file=certificates.ca if trusted else None))
        assert failure.value.reason == "StoreUnavailable"
        assert failure.value.pace is Pace.CONFIGURATION


def test_plain_text_to_a_tls_server(certificates: Certificates) -> None:
    with tls_server(certificates, "server") as server, pytest.raises(StoreError, match="no connection"):
        Link(parse_target(f"redis://127.0.0.1:{server.port}", ca_file=None), timeout=2.0)


def test_a_ca_file_that_holds_no_certificate(tmp_path: Path) -> None:
    broken = tmp_path / "ca.crt"
    broken.write_text("not a certificate")
    with pytest.raises(StoreError, match=r"ca\.crt") as failure:
        Link(parse_target("rediss://127.0.0.1:1", ca_file=broken))
    assert failure.value.reason == "InvalidConfiguration"


def test_links_share_their_tls_settings(certificates: Certificates) -> None:
    assert tls_context(certificates.ca) is tls_context(certificates.ca)
    assert tls_context(None) is not tls_context(certificates.ca)
