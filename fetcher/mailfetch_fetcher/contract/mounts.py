"""Where pods find what is mounted, and the names in it. Nothing but names: the plugin uses them too."""

from pathlib import PurePosixPath

MOUNT = PurePosixPath("/etc/mailfetch/secrets")
REDIS_MOUNT = PurePosixPath("/etc/mailfetch/redis")
ASSIGNMENTS_MOUNT = PurePosixPath("/etc/mailfetch/assignments")
REDIS_SECRET = "mailfetch-redis"  # noqa: S105 - the name of a Secret
REDIS_KEYS = ("url", "ca.crt")

CLIENT_KEYS = (
    "client-id",
    "client-secret",
    "tenant-id",
    "certificate.pem",
    "private-key.pem",
    "federated-token",
    "service-account.json",
)
