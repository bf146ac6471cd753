"""What `helm test` runs in each namespace: is the operator well, and does this namespace's Secret open Redis?"""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import redis

health, mount = sys.argv[1], Path(sys.argv[2])

try:
    urllib.request.urlopen(health, timeout=30).close()
except urllib.error.HTTPError as e:
    sys.exit(f"the operator is not well: {e.read().decode()}")
except OSError as e:
    sys.exit(f"the operator does not answer at {health}: {e}")
print("operator: ok")

url, ca = mount / "url", mount / "ca.crt"
if not url.exists():
    sys.exit("this namespace has no Secret mailfetch-redis with the key url; the notes of the chart tell how to make it")
options = {"ssl_ca_certs": str(ca)} if ca.exists() else {}
try:
    client = redis.Redis.from_url(url.read_text().strip(), socket_timeout=30, socket_connect_timeout=30, **options)
    client.ping()
except (redis.RedisError, ValueError) as e:
    sys.exit(f"Redis cannot be used with the Secret mailfetch-redis: {e}")
print("redis: ok")
