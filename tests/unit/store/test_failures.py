import pytest
import redis

from mailfetch_fetcher.errors import Pace
from mailfetch_fetcher.store.failures import error_text, refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "QueueFull"),
        ("READONLY You can't write against a read only replica.", "StoreUnavailable"),
        ("MISCONF Redis is configured to save RDB snapshots", "StoreUnavailable"),
        ("NOREPLICAS Not enough good replicas to write.", "StoreUnavailable"),
        ("LOADING Redis is loading the dataset in memory", "StoreUnavailable"),
        ("MASTERDOWN Link with MASTER is down", "StoreUnavailable"),
        ("CLUSTERDOWN The cluster is down", "StoreUnavailable"),
        ("MOVED 1234 127.0.0.1:7001", "StoreUnavailable"),
        ("BUSY Redis is busy running a script.", "StoreUnavailable"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "StoreUnsafe"),
        ("NOPERM this user has no permissions to run the 'xadd' command", "StoreUnsafe"),
        ("ERR The user executing the script can't run this command or subcommand", "StoreUnsafe"),
        ("ERR The stream has exhausted the last possible ID, unable to add more items", "StoreUnsafe"),
    ],
)
def test_what_an_error_means(text: str, reason: str) -> None:
    error = refused(text, doing="the commit", size=17)
    assert error.reason == reason
    assert error.pace is (Pace.QUICK if reason == "StoreUnavailable" else Pace.CONFIGURATION)


def test_memory_says_how_much_is_needed() -> None:
    assert "17 bytes" in refused("OOM no", doing="the commit", size=17).message


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (redis.exceptions.OutOfMemoryError("not allowed", status_code="OOM"), "OOM not allowed"),
        (redis.exceptions.ReadOnlyError("a replica", status_code="READONLY"), "READONLY a replica"),
        (redis.ResponseError("WRONGTYPE wrong"), "WRONGTYPE wrong"),
        (redis.ResponseError("OOM whole", status_code="OOM"), "OOM whole"),
    ],
)
def test_the_code_that_redis_py_cuts_off_is_put_back(error: redis.RedisError, text: str) -> None:
    assert error_text(error) == text
