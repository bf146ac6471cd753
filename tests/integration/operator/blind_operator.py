"""The operator with watches that go wrong, as `WATCHES` says.

- `gone`: no deletion is ever told, and each stream ends with "410 Gone", so that Kopf must list again
- `hang`: the second watch of pods never begins
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from kopf._cogs.clients import watching as kopf_watching

from mailfetch_operator import cli, liveness

MODE = os.environ["WATCHES"]
_watch = kopf_watching.watch_objs
_seen: set[str] = set()


async def _gone(**kwargs: Any) -> AsyncIterator[Any]:
    async for event in _watch(**kwargs):
        if event["type"] != "DELETED":
            yield event
    yield {"type": "ERROR", "object": {"code": 410}}


async def _hang(**kwargs: Any) -> AsyncIterator[Any]:
    plural = kwargs["resource"].plural
    if plural == "pods" and plural in _seen:
        await asyncio.Event().wait()
    _seen.add(plural)
    async for event in _watch(**kwargs):
        yield event


kopf_watching.watch_objs = {"gone": _gone, "hang": _hang}[MODE]
liveness.WATCH_SECONDS = 1
liveness.WATCH_LIMIT = 8.0

if __name__ == "__main__":
    cli.main()
