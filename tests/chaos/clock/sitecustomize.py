"""Python imports this first if its folder is in PYTHONPATH: the clock on the wall shows what a file says.

libfaketime cannot be used for Python: with it `time.sleep` fails unless the clock that only grows jumps too, which no
real one does.
"""

import datetime
import os
import time
from pathlib import Path

_FILE = Path(os.environ["MAILFETCH_CHAOS_CLOCK"])
_time = time.time


def _jumped() -> float:
    return _time() + int(_FILE.read_text())


class _Jumped(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Jumped":
        return cls.fromtimestamp(_jumped(), tz)


time.time = _jumped
datetime.datetime = _Jumped  # type: ignore[misc]
