"""The rules of durability without WAITAOF, and the verdict on the server's settings."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from mailfetch_fetcher.store.barrier import OBSERVATIONS, OBSERVE_SECONDS, fsync_between, observe, same_server
from mailfetch_fetcher.store.safety import Sample, judge, read_sample

GOOD = Sample(
    run_id="r",
    version=(7, 0, 15),
    role="master",
    policy="noeviction",
    aof=True,
    write_ok=True,
    appendfsync="everysec",
    quiet=True,
)
BUSY = replace(GOOD, quiet=False)


def source(*samples: Sample) -> tuple[Callable[[], Sample], list[float]]:
    rest: Iterator[Sample] = iter(samples)
    return lambda: next(rest), []


@pytest.mark.parametrize(
    ("first", "later", "durable", "waits"),
    [
        (GOOD, [GOOD], True, 1),
        (BUSY, [GOOD, GOOD], True, 2),
        (GOOD, [BUSY, GOOD, GOOD], True, 3),
        (BUSY, [BUSY] * OBSERVATIONS, False, OBSERVATIONS),
        (GOOD, [BUSY, GOOD, BUSY, GOOD, BUSY], False, OBSERVATIONS),
        (GOOD, [replace(GOOD, run_id="restarted")], False, 1),
        (GOOD, [replace(GOOD, role="slave")], False, 1),
        (GOOD, [replace(GOOD, write_ok=False)], False, 1),
        (GOOD, [replace(GOOD, aof=False)], False, 1),
        (GOOD, [replace(GOOD, appendfsync="no")], False, 1),
        (GOOD, [Sample(denied="CONFIG GET")], False, 1),
    ],
)
def test_an_fsync_must_be_seen_to_begin_and_end(first: Sample, later: list[Sample], durable: bool, waits: int) -> None:
    sample, waited = source(*later)
    assert observe(sample, first=first, wait=waited.append) is durable
    assert waited == [OBSERVE_SECONDS] * waits
    assert OBSERVE_SECONDS > 2


@pytest.mark.parametrize("where", ["first", "second"])
def test_a_rewrite_that_suspends_fsync_does_not_count(where: str) -> None:
    suspended = replace(GOOD, rewriting=True, no_fsync_on_rewrite=True)
    pair = (suspended, GOOD) if where == "first" else (GOOD, suspended)
    assert not fsync_between(*pair)
    assert fsync_between(GOOD, replace(GOOD, rewriting=True))
    assert fsync_between(GOOD, replace(GOOD, no_fsync_on_rewrite=True))


def test_an_unknown_server_is_never_the_same() -> None:
    assert same_server(GOOD, GOOD, "r")
    assert not same_server(GOOD, GOOD, "another")
    assert not same_server(replace(GOOD, run_id=""), replace(GOOD, run_id=""), "")
    assert not same_server(replace(GOOD, role="slave"), replace(GOOD, role="slave"), "r")


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"role": "slave"}, "address of the master"),
        ({"policy": "allkeys-lru"}, "set maxmemory-policy noeviction"),
        ({"policy": "volatile-ttl"}, "set maxmemory-policy noeviction"),
        ({"aof": False}, "set appendonly yes"),
        ({"appendfsync": "no"}, "set appendfsync everysec"),
        ({"appendfsync": ""}, "set appendfsync everysec"),
        ({"write_ok": False}, "free space"),
        ({"denied": "INFO (NOPERM)"}, "ACL SETUSER"),
    ],
)
def test_each_unsafe_setting_has_its_remedy(change: dict[str, object], remedy: str) -> None:
    verdict = judge(replace(GOOD, **change))  # type: ignore[arg-type]
    assert not verdict.ok
    assert remedy in verdict.message


@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
def test_a_safe_server(appendfsync: str) -> None:
    assert judge(replace(GOOD, appendfsync=appendfsync)).ok


INFO = (
    b"# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"
    b"aof_last_write_status:ok\r\naof_pending_bio_fsync:0\r\naof_buffer_length:0\r\naof_rewrite_in_progress:0\r\n"
    b"rdb_bgsave_in_progress:0\r\n"
)


def test_a_sample_is_read_from_info_and_config() -> None:
    sample = read_sample([INFO, [b"appendfsync", b"everysec"], [b"no-appendfsync-on-rewrite", b"yes"]])
    assert sample == replace(GOOD, run_id="abc", no_fsync_on_rewrite=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"aof_pending_bio_fsync:0", b"aof_pending_bio_fsync:1"),
        (b"aof_buffer_length:0", b"aof_buffer_length:17"),
        (b"aof_buffer_length:0\r\n", b""),
        (b"aof_pending_bio_fsync:0\r\n", b""),
    ],
)
def test_what_is_not_known_to_be_quiet_is_not_quiet(old: bytes, new: bytes) -> None:
    settings = [[b"appendfsync", b"everysec"], [b"no-appendfsync-on-rewrite", b"no"]]
    assert read_sample([INFO, *settings]).quiet
    assert not read_sample([INFO.replace(old, new), *settings]).quiet


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_refused_question_is_a_denial(position: int) -> None:
    replies: list[object] = [INFO, [b"appendfsync", b"always"], [b"no-appendfsync-on-rewrite", b"no"]]
    replies[position] = redis.ResponseError("unknown command 'CONFIG'")
    sample = read_sample(replies)
    assert sample.denied
    assert not judge(sample).ok
