from pathlib import Path

import pytest

from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.store.target import Target, parse_target


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("redis://redis", Target(host="redis")),
        ("redis://redis/", Target(host="redis")),
        (" redis://redis:6380/3\n", Target(host="redis", port=6380, database=3)),
        ("redis://:p%40ss%2F%3A@redis", Target(host="redis", password="p@ss/:")),
        ("redis://mail:pass@redis:6379/0", Target(host="redis", username="mail", password="pass")),
        ("rediss://redis.example.com", Target(host="redis.example.com", tls=True)),
        ("redis://[2001:db8::1]:6380", Target(host="2001:db8::1", port=6380)),
    ],
)
def test_a_url_is_taken_apart(url: str, want: Target) -> None:
    assert parse_target(url, ca_file=None) == want


def test_the_ca_file_is_kept() -> None:
    assert parse_target("rediss://redis", ca_file=Path("/ca.crt")).ca_file == Path("/ca.crt")


@pytest.mark.parametrize(
    "url",
    [
        *("redis+sentinel://:geheim@a:26379,b:26379/mymaster", "redis+cluster://:geheim@a:6379"),
        "redis://:geheim@a:6379,b:6379",
    ],
)
def test_sentinel_and_cluster_are_not_in_this_version(url: str) -> None:
    with pytest.raises(StoreError, match="not in this version") as failure:
        parse_target(url, ca_file=None)
    assert failure.value.reason == "InvalidConfiguration"
    assert failure.value.pace is Pace.CONFIGURATION
    assert "geheim" not in str(failure.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "http://:geheim@redis",
        "redis://",
        "redis://:geheim@",
        "redis://:ge/heim@redis",  # a slash that was not encoded: the port becomes a piece of the password
        "redis://:geheim@redis:99999",
        "redis://:geheim@redis/mail",
        "redis://:geheim@redis/0?protocol=3",
        "unix:///run/redis.sock",
    ],
)
def test_what_cannot_be_used_is_told_with_the_form_and_without_the_password(url: str) -> None:
    with pytest.raises(StoreError, match=r"HOST\[:PORT\]") as failure:
        parse_target(url, ca_file=None)
    assert failure.value.reason == "InvalidConfiguration"
    assert "heim" not in failure.value.message
    assert failure.value.__cause__ is None


def test_no_text_shows_the_password() -> None:
    target = parse_target("rediss://mail:geheim@redis:6380/2", ca_file=None)
    assert str(target) == "rediss://redis:6380/2"
    assert "geheim" not in repr(target)
