"""The operator, but its process dies by SIGKILL right after its first write to the API server."""

import os
import signal
from typing import Any

from mailfetch_operator import cli
from mailfetch_operator.api.client import Api

_once = Api._once


async def _and_die(self: Api, method: str, path: str, **params: Any) -> Any:
    answer = await _once(self, method, path, **params)
    if method != "get":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


Api._once = _and_die  # type: ignore[method-assign]

if __name__ == "__main__":
    cli.main()
