"""`tools idle`: what the tools pod does while nobody asks; in a module of its own, as this process stays for ever."""

import signal


def idle() -> int:
    """Waits for SIGTERM or SIGINT.

    Returns:
        The exit code.
    """
    stopping = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    signal.sigwait(stopping)
    return 0
