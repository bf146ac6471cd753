"""One socket to Redis for one life.

redis-py reconnects silently, also in the middle of what belongs together, and repeats commands. A link never does:
after the first failure of the socket it is dead for ever, and whoever used it decides what that means.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mailfetch_fetcher.errors import Pace, StoreError
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.target import Target, tls_context

Command = tuple[Any, ...]
_IO_ERRORS = (redis.ConnectionError, redis.TimeoutError, OSError)


class _TlsConnection(redis.Connection):
    """TLS with a shared context: redis-py's own class makes one per connection."""

    def __init__(self, *, context: ssl.SSLContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._context = context

    def _connect(self) -> socket.socket:
        plain = super()._connect()  # type: ignore[no-untyped-call]
        try:
            return self._context.wrap_socket(plain, server_hostname=self.host)
        except ssl.SSLCertVerificationError as e:
            plain.close()
            raise StoreError(
                "StoreUnavailable",
                f"the certificate of Redis at {self.host} is not trusted ({e.verify_message}); put the certificate "
                "of its authority into the Redis Secret under the key ca.crt",
                pace=Pace.CONFIGURATION,
            ) from None
        except BaseException:
            plain.close()
            raise


_URL = "key url of the Secret mailfetch-redis"


class Link:
    """A connected socket for any thread; `call` and `pipeline` fail for ever after the first I/O error.

    Attributes:
        target: Where it leads.
        dead: It failed or was closed.
        run_id: Identity of the server process; empty if the user may not see it (INFO).
        version: Version of Redis, or of the Redis that a Valkey is compatible with; empty like `run_id`.
    """

    def __init__(self, target: Target, *, timeout: float = 10.0) -> None:
        """Connects and logs in.

        Raises:
            StoreError: Redis cannot be reached, or refuses the login.
        """
        self.target = target
        self.dead = False
        self._lock = threading.RLock()
        self._connection = _connection(target, timeout)
        try:
            self._connection.connect()  # type: ignore[no-untyped-call]
        except redis.ResponseError as e:  # e.g. a database number that does not exist
            self.close()
            raise refused(error_text(e), doing=f"the login at {target}") from None
        except _IO_ERRORS as e:
            raise self._failed(e) from None
        info = self._read_info()
        self.run_id = info.get("run_id", "")
        self.version = parse_version(info.get("redis_version", ""))

    def call(self, *command: Any) -> Any:
        """The reply to one command.

        Raises:
            redis.ResponseError: Redis answered with an error; the link lives on.
            StoreError: the link failed and is dead; the command may or may not have been carried out.
        """
        reply = self.pipeline(command)[0]
        if isinstance(reply, redis.ResponseError):
            raise reply
        return reply

    def pipeline(self, *commands: Sequence[Any]) -> list[Any]:
        """Sends all commands at once; one reply for each, errors of Redis among them as exceptions.

        Raises:
            StoreError: the link failed and is dead; the commands may or may not have been carried out.
        """
        with self._lock:
            return self._exchange(commands)

    def _exchange(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        connection = self._connection
        if self.dead or not connection.is_connected:
            raise self._failed(OSError("it was closed"))
        replies: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)  # type: ignore[no-untyped-call]
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as e:
                    replies.append(e)
        except _IO_ERRORS as e:
            raise self._failed(e) from e
        except BaseException as e:
            if self.dead and isinstance(e, Exception):  # closed by another thread: redis-py stumbles over what is gone
                raise self._failed(OSError("it was closed")) from e
            self.close()  # half of a reply may be left in the socket
            raise
        return replies

    def close(self) -> None:
        """Closes the socket. Never raises; may be called from another thread."""
        self.dead = True
        with contextlib.suppress(Exception):
            self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _failed(self, error: Exception) -> StoreError:
        self.close()
        if isinstance(error, redis.AuthenticationError):
            text = f"Redis at {self.target} refused the user or password; correct its URL ({_URL})"
            return StoreError("StoreUnavailable", text, pace=Pace.CONFIGURATION)
        text = error_text(error) if isinstance(error, redis.RedisError) else str(error)
        hint = ", and that it speaks TLS (rediss)" if self.target.tls and isinstance(error, redis.TimeoutError) else ""
        return StoreError(
            "StoreUnavailable",
            f"no connection to Redis at {self.target}: {text.rstrip('.')}; check that it runs{hint}, and its URL "
            f"({_URL})",
        )

    def _read_info(self) -> dict[str, str]:
        try:
            return parse_info(self.call("INFO", "server"))
        except redis.ResponseError:
            return {}


def parse_info(reply: bytes) -> dict[str, str]:
    """The fields of an INFO reply."""
    lines = reply.decode(errors="replace").splitlines()
    return dict(cast("tuple[str, str]", tuple(line.split(":", 1))) for line in lines if ":" in line)


def parse_version(text: str) -> tuple[int, ...]:
    """`7.0.15` → (7, 0, 15)."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _connection(target: Target, timeout: float) -> redis.Connection:
    options: dict[str, Any] = {
        "host": target.host,
        "port": target.port,
        "db": target.database,
        "username": target.username or None,
        "password": target.password or None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "encoding_errors": "replace",  # a header with lone surrogates must not stop a commit
        "driver_info": None,
    }
    if target.tls:
        return _TlsConnection(context=tls_context(target.ca_file), **options)
    return redis.Connection(**options)  # type: ignore[no-untyped-call]
