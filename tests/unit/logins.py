"""What holds of connecting and logging in whatever the protocol: the tests of each folder import these."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.source import Source
from tests.servers.fakeserver import FakeServer

_Make = Callable[..., Source]


def failure(source: Source) -> SourceError:
    """Why it cannot be opened; the message never holds the password, which is `pass`."""
    with pytest.raises(SourceError) as caught:
        source.open()
    assert "pass" not in caught.value.message.replace("password", "")
    return caught.value


def test_a_password_is_not_sent_in_the_clear_without_permission(server: FakeServer[Any], make_source: _Make) -> None:
    error = failure(make_source(allow_insecure_login=False))
    assert error.reason == "InvalidConfiguration"
    assert "allowInsecureLogin" in error.message
    assert server.commands == []


def test_no_greeting_hints_at_tls(server: FakeServer[Any], make_source: _Make) -> None:
    server.quirks.greeting = b""
    error = failure(make_source(timeout=0.3))
    assert error.reason == "ConnectionFailed"
    assert "encryption TLS" in error.message


def test_refused_port(make_source: _Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(make_source(port=port))
    assert error.reason == "ConnectionFailed"
    assert f"127.0.0.1:{port} refused" in error.message
    assert "spec.server.port" in error.message


def test_unknown_host(make_source: _Make) -> None:
    error = failure(make_source(host="no-such-host.invalid"))
    assert error.reason == "ConnectionFailed"
    assert "unknown host no-such-host.invalid" in error.message


def test_a_host_that_is_no_name(make_source: _Make) -> None:
    assert failure(make_source(host="a" * 70 + ".test")).reason == "InvalidConfiguration"
