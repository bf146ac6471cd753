"""The operator, but each write to the API server takes a while to be sent, and is announced."""

import asyncio
from typing import Any

from mailfetch_operator import cli
from mailfetch_operator.api.client import Api

SECONDS = 4.0
"""More than Kopf needs to end its watches, less than the operator waits for what is under way."""

_once = Api._once


async def _slowly(self: Api, method: str, path: str, **params: Any) -> Any:
    if method != "get":
        print("about to write", method, path, flush=True)
        await asyncio.sleep(SECONDS)
    return await _once(self, method, path, **params)


Api._once = _slowly  # type: ignore[method-assign]

if __name__ == "__main__":
    cli.main()
