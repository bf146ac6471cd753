"""A fetcher in a process of its own, to be killed: `python -m …pod DIRECTORY POD_UID LEASE`."""

import sys
import threading
from pathlib import Path

from mailfetch_fetcher.contract.assignment import FILE_NAME
from mailfetch_fetcher.environment import make_environment
from mailfetch_fetcher.pool import AssignmentFile, Pool


def main() -> None:
    directory, pod_uid, lease = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    variables = {"POD_UID": pod_uid, "MAILFETCH_LEASE_SECONDS": lease}
    env = make_environment(fetcher="pod", secrets=directory / "secrets", redis=directory / "redis", variables=variables)
    Pool(env).run(stop=threading.Event(), file=AssignmentFile(directory / "assignments" / FILE_NAME))


if __name__ == "__main__":
    main()
