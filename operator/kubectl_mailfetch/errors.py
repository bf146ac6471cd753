"""Exit codes, and the one exception that ends a command with a message for people."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; scripts may rely on them, and `kubectl mailfetch --help` lists them."""

    OK = 0
    """Done."""
    ERROR = 1
    """Anything that has no number of its own; for `enable`: enabled, but the connection fails."""
    USAGE = 2
    """The command line is wrong, or a question would have to be asked and there is no terminal."""
    NOT_FOUND = 3
    """There is no MailConnection of that name, or no such mail."""
    NO_CLUSTER = 4
    """The cluster cannot be reached, refuses you, or does not have the CRD."""
    DECLINED = 5
    """You answered no; nothing was changed."""
    TIMEOUT = 6
    """What was waited for did not happen in time; `enable` has made its change by then, `authorize` has not."""


class PluginError(Exception):
    """Ends the command. The message says what happened and what to do."""

    def __init__(self, message: str, *, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
