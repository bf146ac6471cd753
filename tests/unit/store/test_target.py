from dataclasses import replace
from pathlib import Path

import pytest

from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.store.target import Finder, Target, parse_target


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
    ("url", "finder", "database"),
    [
        (
            "redis+sentinel://mail:pa%2Fss@a,b:26380,[::1]:1/mymaster/2?sentinel_username=u&sentinel_password=p%40+%26",
            Finder(
                kind="sentinel",
                hosts=(("a", 26379), ("b", 26380), ("::1", 1)),
                name="mymaster",
                username="u",
                password="p@+&",
            ),
            2,
        ),
        ("redis+sentinel://mail:pa%2Fss@a/m", Finder(kind="sentinel", hosts=(("a", 26379),), name="m"), 0),
        ("redis+cluster://mail:pa%2Fss@a,b:7000", Finder(kind="cluster", hosts=(("a", 6379), ("b", 7000))), 0),
        ("redis+cluster://mail:pa%2Fss@a/0", Finder(kind="cluster", hosts=(("a", 6379),)), 0),
    ],
)
@pytest.mark.parametrize("tls", [False, True])
def test_sentinels_and_nodes_of_a_cluster_are_kept_until_the_master_is_found(
    url: str, finder: Finder, database: int, tls: bool
) -> None:
    target = parse_target(url.replace("redis+", "rediss+") if tls else url, ca_file=None)
    assert target.finder == finder
    assert (target.host, target.tls, target.database) == ("", tls, database)
    assert (target.username, target.password) == ("mail", "pa/ss")


@pytest.mark.parametrize(
    ("url", "problem", "form"),
    [
        ("redis://:geheim@a:6379,b:6379", "takes one", "redis+sentinel://"),
        ("redis+sentinel://:geheim@a,b", "which master", "MASTER_NAME"),
        ("redis+sentinel://:geheim@a,b/", "which master", "MASTER_NAME"),
        ("redis+sentinel://:geheim@a,b/m/x", "database", "MASTER_NAME"),
        ("redis+sentinel://:geheim@a,b/m/0/1", "database", "MASTER_NAME"),
        ("redis+sentinel://:geheim@a,,b/m", "no host", "MASTER_NAME"),
        ("redis+sentinel://:geheim@a/m?password=geheim", "sentinel_username and sentinel_password", "MASTER_NAME"),
        ("redis+sentinel://:ge/heim@a/m", "cannot be read", "MASTER_NAME"),
        ("redis+cluster://:geheim@a/1", "only database 0", "redis+cluster://"),
        ("redis+cluster://:geheim@a?sentinel_password=geheim", "not understood", "redis+cluster://"),
        ("redis+cluster://:geheim@", "no host", "redis+cluster://"),
        ("rediss+cluster://:ge?heim@a", "cannot be read", "redis+cluster://"),
    ],
)
def test_what_is_wrong_is_told_with_the_form_of_that_topology(url: str, problem: str, form: str) -> None:
    with pytest.raises(StoreError) as failure:
        parse_target(url, ca_file=None)
    assert failure.value.reason == "InvalidConfiguration"
    assert failure.value.pace is Pace.CONFIGURATION
    assert problem in failure.value.message
    assert form in failure.value.message
    assert "heim" not in failure.value.message
    assert failure.value.__cause__ is None


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
    watched = parse_target("rediss+sentinel://:geheim@a,b:1/m?sentinel_password=geheim", ca_file=None)
    assert str(watched) == "rediss+sentinel://a:26379,b:1/m"
    assert "geheim" not in repr(watched)
    assert str(replace(watched, host="c", port=6379)) == "rediss://c:6379/0"
