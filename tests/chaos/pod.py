"""A fetcher as in a pod, where people may ask for something by annotations: `run -f` knows no requests."""

import argparse
import tempfile
from pathlib import Path

import msgspec

from mailfetch_fetcher import logs
from mailfetch_fetcher.contract.assignment import Assignments, encode
from mailfetch_fetcher.environment import make_environment
from mailfetch_fetcher.main import stop_on_signals
from mailfetch_fetcher.manifest import assignments, load, write_secrets
from mailfetch_fetcher.pool import AssignmentFile, Pool
from mailfetch_fetcher.server import serve
from mailfetch_fetcher.standalone import CLUSTER_ID


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-f", "--file", type=Path, required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--http", type=int, required=True)
    parser.add_argument("--request", action="append", default=[])
    args = parser.parse_args()
    logs.set_up(plain=True)
    with tempfile.TemporaryDirectory(prefix="chaos-pod-") as name:
        directory = Path(name)
        for folder in ("secrets", "redis"):
            (directory / folder).mkdir(mode=0o700)
        documents = load(args.file)
        write_secrets(documents, directory / "secrets")
        (directory / "redis/url").write_text(args.redis)
        asked = dict(text.split("=", 1) for text in args.request)
        wanted = tuple(msgspec.structs.replace(one, requests=asked) for one in assignments(documents))
        file = directory / "assignments.json"
        file.write_text(encode(Assignments(cluster_id=CLUSTER_ID, connections=wanted)))
        env = make_environment(fetcher="pod", secrets=directory / "secrets", redis=directory / "redis")
        pool, stop = Pool(env), stop_on_signals()
        server = serve(hub=env.hub, healthy=pool.trouble, host="127.0.0.1", port=args.http)
        if pool.run(stop=stop, file=AssignmentFile(file)):
            env.leases.stop()
        server.shutdown()


if __name__ == "__main__":
    main()
