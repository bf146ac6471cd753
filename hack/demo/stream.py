"""Reads a queue as a consumer would see it, for showing it."""

from typing import Any

COLUMNS = ("ENTRY", "FROM", "SUBJECT", "SIZE")


def rows(client: Any, key: str, *, count: int, newest: bool = False) -> list[list[str]]:
    """Some entries as rows for `COLUMNS`."""
    found = client.xrevrange(key, count=count) if newest else client.xrange(key, count=count)
    return [
        [
            entry.decode(),
            fields[b"from"].decode(),
            fields[b"subject"].decode(),
            f"{int(fields[b'size']) / 1024:.1f} KB" + ("" if b"raw" in fields else " (blob)"),
        ]
        for entry, fields in found
    ]
