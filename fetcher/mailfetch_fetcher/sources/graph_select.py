"""Which mails of a Graph mailbox a request means (pure)."""

from mailfetch_fetcher.sources import since


def read_since(wanted: str) -> float:
    """See `since.read_since`."""
    return since.read_since(
        wanted,
        otherwise=f"Microsoft Graph cannot select '{wanted}': its mails have no UIDs; use since:YYYY-MM-DD (by the "
        "time at which they were received) or quarantined",
    )
