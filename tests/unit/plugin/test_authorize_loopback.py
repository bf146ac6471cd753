import http.client
import socket
from collections.abc import Iterator

import pytest

from kubectl_mailfetch.authorize.browser import has_windows
from kubectl_mailfetch.authorize.loopback import Loopback
from kubectl_mailfetch.errors import Exit, PluginError


class Listening:
    def __init__(self, loopback: Loopback, told: list[str]) -> None:
        self.loopback, self.told = loopback, told

    def get(self, path: str, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, str]:
        browser = http.client.HTTPConnection(host, self.loopback.port, timeout=60)
        browser.request(method, path)
        answer = browser.getresponse()
        page = answer.read().decode()
        browser.close()
        return answer.status, page


@pytest.fixture
def listening() -> Iterator[Listening]:
    told: list[str] = []
    with Loopback(warn=told.append) as loopback:
        loopback.expect("right")
        yield Listening(loopback, told)


def test_the_answer_with_the_right_state_arrives(listening: Listening) -> None:
    status, page = listening.get("/?code=c&state=right")
    assert (status, listening.told) == (200, [])
    assert "Signed in" in page
    assert dict(listening.loopback.wait(60)) == {"code": "c", "state": "right"}


def test_a_second_tab_does_no_harm(listening: Listening) -> None:
    listening.get("/?code=first&state=right")
    assert listening.get("/?code=second&state=right")[0] == 200
    assert listening.loopback.wait(60)["code"] == "first"


@pytest.mark.parametrize(
    "path",
    [
        "/?code=c&state=wrong",
        "/?code=c",
        "/?state=right",
        "/?code=c&error=e&state=right",
        "/?code=c&code=d&state=right",
        "/?code=c&state=ri%C3%A9ht",
    ],
)
def test_what_does_not_belong_here_is_refused_and_told(listening: Listening, path: str) -> None:
    assert listening.get(path)[0] == 400
    assert len(listening.told) == 1
    listening.get("/?code=right&state=right")
    assert listening.loopback.wait(60)["code"] == "right"


def test_other_addresses_are_not_found_and_not_worth_a_word(listening: Listening) -> None:
    assert [listening.get(p)[0] for p in ("/", "/favicon.ico", "/other?code=c&state=right")] == [404, 404, 404]
    assert listening.get("/?code=c&state=right", method="POST")[0] == 501
    assert listening.get("/?code=" + "c" * 20_000)[0] == 414
    assert listening.get("/?" + "&".join(f"p{n}=1" for n in range(60)))[0] == 404
    assert listening.told == []


def test_the_page_shows_no_markup_of_the_answer(listening: Listening) -> None:
    page = listening.get("/?error=%3Cscript%3E&state=right")[1]
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert listening.loopback.wait(60)["error"] == "<script>"


def test_before_there_is_a_state_nothing_counts() -> None:
    with Loopback(warn=lambda _: None) as loopback:
        assert Listening(loopback, []).get("/?code=c&state=")[0] == 400


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PluginError, match=f"port {port} (.|\n)*--port") as caught:
            Loopback(port=port, warn=lambda _: None)
    assert caught.value.code is Exit.USAGE


def test_both_loopback_addresses_answer() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
    with Loopback(warn=lambda _: None) as loopback:
        loopback.expect("right")
        assert Listening(loopback, []).get("/?code=c&state=right", host="::1")[0] == 200
        assert loopback.wait(60)["code"] == "c"


def test_an_idle_connection_of_a_browser_holds_nobody_up(listening: Listening) -> None:
    with socket.create_connection(("127.0.0.1", listening.loopback.port)):
        assert listening.get("/?code=c&state=right")[0] == 200


def test_nobody_comes() -> None:
    with Loopback(warn=lambda _: None) as loopback, pytest.raises(PluginError, match="nobody signed in") as caught:
        loopback.wait(0.01)
    assert caught.value.code is Exit.TIMEOUT


@pytest.mark.parametrize(
    ("platform", "environment", "windows"),
    [
        ("darwin", {}, True),
        ("win32", {}, True),
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"BROWSER": "firefox"}, True),
    ],
)
def test_only_browsers_with_windows_are_opened(platform: str, environment: dict[str, str], windows: bool) -> None:
    assert has_windows(platform, environment) is windows
