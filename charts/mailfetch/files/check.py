"""What `helm test` runs in each namespace: is the operator well, and does this namespace's Secret open Redis?"""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import redis

from mailfetch_fetcher.environment import redis_target
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.locate import locate

health, mount = sys.argv[1], Path(sys.argv[2])

try:
    urllib.request.urlopen(health, timeout=30).close()
except urllib.error.HTTPError as e:
    sys.exit(f"the operator is not well: {e.read().decode()}")
except OSError as e:
    sys.exit(f"the operator does not answer at {health}: {e}")
print("operator: ok")

if not (mount / "url").exists():
    sys.exit(
        "this namespace has no Secret mailfetch-redis with the key url; the notes of the chart tell how to make it"
    )
try:
    server = locate(redis_target(mount, namespace="of this test"), key="mail:{test/test}:queue")
    Link(server, timeout=30).call("PING")
except StoreError as e:
    sys.exit(f"Redis cannot be used with the Secret mailfetch-redis: {e.message}")
except redis.ResponseError as e:
    sys.exit(f"Redis cannot be used with the Secret mailfetch-redis: {e}")
print(f"redis: ok ({server})")
