"""The rules of durability, and the verdict on the server's settings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import pytest
import redis

from mailfetch_fetcher.store.barrier import (
    OBSERVATIONS,
    OBSERVE_SECONDS,
    Verdict,
    fsync_between,
    observe,
    run_barrier,
    same_server,
)
from mailfetch_fetcher.store.link import Link
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
        (GOOD, [GOOD, GOOD], True, 1),
        (BUSY, [GOOD, GOOD, GOOD], True, 2),
        (GOOD, [BUSY, GOOD, GOOD, GOOD], True, 3),
        # It stood still between the looks: the fsync that was due has only begun by the third one.
        (GOOD, [GOOD, BUSY, GOOD, GOOD], True, 2),
        (GOOD, [GOOD, BUSY] * OBSERVATIONS, False, OBSERVATIONS),
        (GOOD, [GOOD, replace(GOOD, run_id="restarted"), Sample()], False, 2),
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


class FakeLink:
    """A server that says of itself `before` at the first look and `after` from then on."""

    run_id = "abc"

    def __init__(self, *, before: bytes, after: bytes, write: object, fsync: str) -> None:
        self._info = [before, after]
        self._answers = {
            "EVAL": write,
            "CONFIG appendfsync": [b"appendfsync", fsync.encode()],
            "CONFIG no-appendfsync-on-rewrite": [b"no-appendfsync-on-rewrite", b"no"],
        }
        self.sent: list[str] = []

    def pipeline(self, *commands: Sequence[object]) -> list[object]:
        self.sent += [str(command[0]) for command in commands]
        return [self._answer(command) for command in commands]

    def _answer(self, command: Sequence[object]) -> object:
        if command[0] == "INFO":
            return self._info.pop(0) if len(self._info) > 1 else self._info[0]
        return self._answers[f"CONFIG {command[2]}" if command[0] == "CONFIG" else str(command[0])]


def barrier(
    *,
    version: bytes = b"7.2.4",
    before: bytes = b"",
    after: bytes = b"",
    write: object = 1,
    fsync: str = "everysec",
) -> tuple[Verdict, list[str]]:
    info = INFO.replace(b"7.0.15", version)
    link = FakeLink(
        before=info + before,
        after=info + after,
        write=write,
        fsync=fsync,
    )
    verdict = run_barrier(cast("Link", link), write=("EVAL",), wait=lambda _: None)
    return verdict, link.sent


def test_the_write_comes_after_the_first_look_and_before_the_second() -> None:
    verdict, sent = barrier(fsync="always")
    assert verdict.durable
    assert verdict.owned
    assert sent == ["INFO", "CONFIG", "CONFIG", "EVAL", "INFO", "CONFIG", "CONFIG"]


def test_where_nothing_will_be_durable_nobody_waits() -> None:
    verdict, sent = barrier(before=b"maxmemory_policy:allkeys-lru\r\n")
    assert not verdict.durable
    assert sent == ["INFO", "CONFIG", "CONFIG", "EVAL", "INFO", "CONFIG", "CONFIG"]  # the lease is confirmed even so


@pytest.mark.parametrize("version", [b"7.0.15", b"7.2.4", b"9.1.2"])
def test_always_needs_no_wait_and_everysec_an_observation(version: bytes) -> None:
    """WAITAOF is believed on no version: several answer it before the write is on disk."""
    _, sent = barrier(version=version, fsync="always")
    assert len(sent) == 7
    verdict, sent = barrier(version=version)
    assert verdict.durable
    assert len(sent) == 13  # two looks more
    assert "WAITAOF" not in sent
    assert not barrier(version=version, after=b"aof_buffer_length:9\r\n")[0].durable


def test_a_clock_that_was_set_back_holds_unless_every_write_is_forced_to_disk() -> None:
    verdict, _ = barrier(write=2)
    assert (verdict.durable, verdict.owned, verdict.safety.ok) == (False, True, False)
    assert "clock" in verdict.safety.message
    assert barrier(write=2, fsync="always")[0].durable


def test_a_lost_lease_is_never_durable() -> None:
    verdict, _ = barrier(write=0)
    assert not verdict.owned
    assert not verdict.durable


@pytest.mark.parametrize("version", [b"7.0.15", b"7.2.4"])
@pytest.mark.parametrize("fsync", ["always", "everysec"])
@pytest.mark.parametrize(
    "change",
    [
        b"aof_enabled:0",
        b"role:slave",
        b"run_id:restarted",
        b"maxmemory_policy:allkeys-lru",
        b"aof_last_write_status:err",
    ],
)
@pytest.mark.parametrize("when", ["before", "after", "both"])
def test_what_was_unsafe_at_either_look_is_not_durable(version: bytes, fsync: str, change: bytes, when: str) -> None:
    before, after = (change + b"\r\n" if when in (moment, "both") else b"" for moment in ("before", "after"))
    verdict, _ = barrier(version=version, fsync=fsync, before=before, after=after)
    assert not verdict.durable
    assert verdict.owned


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
