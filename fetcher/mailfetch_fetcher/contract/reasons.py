"""Condition reasons (API: stable, documented in docs/troubleshooting.md) that fetcher and operator share."""

from typing import Final, Literal

Reason = Literal[
    "InvalidConfiguration",
    "SecretNotFound",
    "ConnectionFailed",
    "TLSFailed",
    "AuthFailed",
    "AuthorizationRequired",
    "FolderNotFound",
    "Throttled",
    "QueueFull",
    "StoreUnavailable",
    "StoreUnsafe",
    "FetcherUnavailable",
]
"""Why Ready is False."""

Gate = Literal["StateLost", "IdentityChanged", "MailboxReset"]
"""Why a fetcher stopped and needs a new approval."""

ActionReason = Literal["Done", "Pending", "Failed", "StoreWentBack", "StoreUnsafe"]
"""State of the after-download actions."""

CONNECTION_REASONS: Final = (
    "ConnectionFailed",
    "TLSFailed",
    "AuthFailed",
    "AuthorizationRequired",
    "FolderNotFound",
    "Throttled",
)
"""Reasons that say something of the way to the mailbox (condition ConnectionVerified)."""
