"""The image archives that a cluster for tests needs; hack/image.sh builds and caches them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import REPOSITORY

PAUSE = "localhost/pause:1"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image by the name that pods call it, and its archive."""

    name: str
    archive: Path


def mailfetch() -> Image:
    """The image of the operator and the fetchers, made from the working tree."""
    return _build()


def redis() -> Image:
    """A Valkey, which the chart runs as its bundled Redis."""
    return _build("--redis")


def pause() -> Image:
    """What holds the namespaces of each pod."""
    return _build("--pause")


def _build(*arguments: str) -> Image:
    # Standard error stays the caller's: it shows the progress.
    command = [str(REPOSITORY / "hack/image.sh"), *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"the image could not be built: run `{' '.join(command)}` to see why")
    name, archive = result.stdout.splitlines()
    return Image(name=name, archive=Path(archive))
