"""Opening the person's browser, where there is one to see."""

import os
import sys
import webbrowser
from collections.abc import Mapping


def open_browser(address: str) -> bool:
    """Opens an address; returns whether a browser with windows took it."""
    if not has_windows(sys.platform, os.environ):
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def has_windows(platform: str, environment: Mapping[str, str]) -> bool:
    """Whether a browser would get a window; else `webbrowser` would start a text browser in this terminal."""
    if platform in ("darwin", "win32"):
        return True
    return any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
