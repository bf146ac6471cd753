"""Secrets as files `DIR/SECRET/KEY`, as `mailfetch-fetcher run --secrets DIR` reads them where there is no cluster."""

import errno
import os
import tempfile
from pathlib import Path

from kubectl_mailfetch.errors import Exit, PluginError


class Folder:
    """The directory of `--secrets`."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def read(self, secret: str) -> dict[str, str] | None:
        """The texts of a Secret by key, or None if there is none; what is not text is left out.

        Raises:
            PluginError: it is there and cannot be read.
        """
        folder = self._place(secret)
        if not folder.is_dir():
            return None
        found: dict[str, str] = {}
        for file in folder.iterdir():
            try:
                if file.is_file():
                    found[file.name] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            except OSError as e:
                raise PluginError(f"cannot read {file}: {e.strerror}", code=Exit.USAGE) from e
        return found

    def prepare(self, secret: str, key: str) -> Path:
        """Sees that a key can be written; returns its file.

        Raises:
            PluginError: it cannot.
        """
        file = self._place(secret, key)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a directory")
            with tempfile.NamedTemporaryFile(dir=file.parent, prefix="."):
                return file
        except OSError as e:
            raise _unwritable(file, e) from e

    def write(self, secret: str, key: str, text: str) -> None:
        """Writes or replaces a key, for the owner's eyes only; who reads meanwhile gets the old text or the new one.

        Raises:
            PluginError: it cannot be written.
        """
        file = self._place(secret, key)
        try:
            number, name = tempfile.mkstemp(dir=file.parent, prefix=".")  # with mode 0600
            try:
                with open(number, "w", encoding="utf-8") as new:
                    new.write(text)
                os.replace(name, file)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as e:
            raise _unwritable(file, e) from e

    def _place(self, *names: str) -> Path:
        if wrong := [n for n in names if "/" in n or n.startswith(".")]:
            raise PluginError(f"'{wrong[0]}' is not the name of a Secret or of a key", code=Exit.USAGE)
        return self._directory.joinpath(*names)


def _unwritable(file: Path, error: OSError) -> PluginError:
    return PluginError(
        f"cannot write {file} ({error.strerror}). Name another directory with --secrets; nothing was written.",
        code=Exit.USAGE,
    )
