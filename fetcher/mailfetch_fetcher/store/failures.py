"""What an error text of Redis means: which condition it is, and what people should do about it."""

import redis

from mailfetch_fetcher.errors import Pace, StoreError

_PASSING = {
    "READONLY": "it is a replica now",
    "MISCONF": "it cannot write its data to disk",
    "NOREPLICAS": "it has too few replicas (min-replicas-to-write)",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "it is a replica without its master",
    "CLUSTERDOWN": "its cluster is down",
    "BUSY": "a script of somebody else blocks it",
    "MOVED": "another node of its Redis Cluster holds these keys, and is looked for if the URL is redis+cluster://",
    "ASK": "its cluster is being resharded",
    "TRYAGAIN": "its cluster is being resharded",
    "EXECABORT": "it aborted the transaction",
    "UNKILLABLE": "a script of somebody else blocks it",
}
"""Answers that say "not now": nothing was written, trying again is right."""


def error_text(error: redis.RedisError) -> str:
    """The error as Redis sent it: redis-py cuts off the code of the errors that it knows."""
    code = getattr(error, "status_code", None)
    text = str(error)
    return f"{code} {text}" if code and not text.startswith(str(code)) else text


def refused(text: str, *, doing: str, size: int = 0) -> StoreError:
    """The failure behind an error text; nothing was written.

    Args:
        text: As Redis sent it, code first.
        doing: What was being done, for the message.
        size: Bytes that were to be stored, if that may be the reason.
    """
    text = text.removeprefix("ERR ")
    code = text.split(" ", 1)[0]
    if code == "OOM":
        needs = f"; this step needs {size} bytes" if size else ""
        return StoreError(
            "QueueFull",
            f"Redis has reached maxmemory and refused {doing}{needs}: let the consumers acknowledge mails, "
            "or raise maxmemory",
            pace=Pace.CONFIGURATION,
        )
    if code in _PASSING:
        return StoreError("StoreUnavailable", f"Redis refused {doing}: {_PASSING[code]} ({text})")
    if code == "NOPERM" or "no permissions" in text or "can't run this command" in text:
        return StoreError(
            "StoreUnsafe",
            f"the Redis user lacks a permission for {doing} ({text}); allow it with ACL SETUSER",
            pace=Pace.CONFIGURATION,
        )
    hint = ""
    if "unknown command" in text:
        hint = " (if it is a Sentinel, write redis+sentinel://HOST,…/MASTER_NAME)"
    elif "DB index" in text:
        hint = "; correct the database number in the Redis URL"
    return StoreError("StoreUnsafe", f"Redis refused {doing}: {text}{hint}", pace=Pace.CONFIGURATION)
