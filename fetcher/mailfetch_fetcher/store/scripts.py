"""The Lua scripts: every change of more than one key is one of them. Sent whole each time (EVAL, never EVALSHA).

The three kinds of scripts: those without a `#!lua` line are refused by Redis at their first write when memory is full;
those with `flags=allow-oom` go through (leases, removing actions, trimming); none of them calls another.
"""

from importlib.resources import files
from typing import Any, Final


def _load(name: str) -> str:
    """The text of a script without its comments: it travels with every call."""
    text = (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))


COMMIT: Final = _load("commit")
STAGE: Final = _load("stage")
UNSTAGE: Final = _load("unstage")
PRUNE: Final = _load("prune")
APPEND: Final = _load("append")
DISCARD: Final = _load("discard")
CREATE: Final = _load("create")
TAKE: Final = _load("take")
RENEW: Final = _load("renew")
RELEASE: Final = _load("release")
ADVANCE: Final = _load("advance")
SETTLE: Final = _load("settle")
TRIM: Final = _load("trim")
SWEEP: Final = _load("sweep")
ACKS: Final = _load("acks")
TOKEN: Final = _load("token")
PURGE_HOLD: Final = _load("purge_hold")
PURGE_LOOK: Final = _load("purge_look")
PURGE_ENTRIES: Final = _load("purge_entries")
PURGE_STREAM: Final = _load("purge_stream")
PURGE_END: Final = _load("purge_end")
LOOK: Final = _load("look")
PICK: Final = _load("pick")
REQUEUE: Final = _load("requeue")
PREFLIGHT: Final = _load("preflight")


def evaluate(script: str, *, keys: list[str], args: list[Any]) -> list[Any]:
    """The EVAL command for a script."""
    return ["EVAL", script, len(keys), *keys, *args]
