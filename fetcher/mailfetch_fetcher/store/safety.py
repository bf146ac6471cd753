"""May anything be done at the mailbox on the strength of what this Redis holds? Its settings decide."""

from dataclasses import dataclass
from typing import Any, Final

import redis

from mailfetch_fetcher.store.failures import error_text
from mailfetch_fetcher.store.link import Link, parse_info, parse_version

SAMPLE: Final = (("INFO",), ("CONFIG", "GET", "appendfsync"), ("CONFIG", "GET", "no-appendfsync-on-rewrite"))
"""The commands behind a `Sample`."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the server said of itself at one moment.

    Attributes:
        denied: Command that the user may not run; then nothing else is known.
        quiet: Everything written so far has left Redis's own buffers and no fsync is running.
        rewriting: A rewrite or snapshot runs, during which `no-appendfsync-on-rewrite` counts.
    """

    denied: str = ""
    run_id: str = ""
    version: tuple[int, ...] = ()
    role: str = ""
    policy: str = ""
    aof: bool = False
    write_ok: bool = False
    appendfsync: str = ""
    no_fsync_on_rewrite: bool = False
    quiet: bool = False
    rewriting: bool = False


@dataclass(frozen=True, kw_only=True)
class Safety:
    """The verdict.

    Attributes:
        ok: After-download actions are allowed once a mail is durable.
        message: Why not, and the remedy.
    """

    ok: bool
    message: str = ""


def read_sample(replies: list[Any]) -> Sample:
    """The sample behind the replies to `SAMPLE`."""
    for reply, command in zip(replies, ("INFO", "CONFIG GET", "CONFIG GET"), strict=True):
        if isinstance(reply, redis.ResponseError):
            return Sample(denied=f"{command} ({error_text(reply)})")
    info = parse_info(replies[0])
    return Sample(
        run_id=info.get("run_id", ""),
        version=parse_version(info.get("redis_version", "")),
        role=info.get("role", ""),
        policy=info.get("maxmemory_policy", ""),
        aof=info.get("aof_enabled") == "1",
        write_ok=info.get("aof_last_write_status", "ok") == "ok",
        appendfsync=_setting(replies[1]),
        no_fsync_on_rewrite=_setting(replies[2]) == "yes",
        quiet=info.get("aof_pending_bio_fsync") == "0" and info.get("aof_buffer_length") == "0",
        rewriting="1" in (info.get("aof_rewrite_in_progress"), info.get("rdb_bgsave_in_progress")),
    )


def take_sample(link: Link) -> Sample:
    """Asks the server.

    Raises:
        StoreError: the link failed.
    """
    return read_sample(link.pipeline(*SAMPLE))


def judge(sample: Sample) -> Safety:
    """The verdict on a sample; the first thing that is wrong, with its remedy."""
    held = "after-download actions are held (downloading goes on)"
    if sample.denied:
        return Safety(
            ok=False,
            message=f"Redis does not answer {sample.denied}, so nobody knows whether it keeps what it stores; {held}. "
            "Allow it: ACL SETUSER <user of the Redis Secret> +info +config|get",
        )
    checks = (
        (sample.role == "master", "it is a replica", "put the address of the master into the Redis Secret"),
        (
            sample.policy == "noeviction",
            f"maxmemory-policy is {sample.policy}, so it may throw mails away",
            "set maxmemory-policy noeviction",
        ),
        (sample.aof, "it has no append-only file, so a restart loses mails", "set appendonly yes"),
        (
            sample.appendfsync in ("everysec", "always"),
            f"appendfsync is {sample.appendfsync}, so a crash loses mails",
            "set appendfsync everysec (or always)",
        ),
        (
            sample.write_ok,
            "it fails to write its append-only file",
            "look at its log and at the free space of its disk",
        ),
    )
    for good, problem, remedy in checks:
        if not good:
            return Safety(ok=False, message=f"Redis is not a safe store: {problem}; {held}. Remedy: {remedy}")
    return Safety(ok=True)


def _setting(reply: list[bytes]) -> str:
    return reply[1].decode() if len(reply) > 1 else ""
