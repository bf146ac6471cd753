"""What tests may ask of a whole cluster, be it the one-node Kubernetes of this project or one that the user names."""

from abc import abstractmethod
from pathlib import Path

from tests.cluster.tools import KubernetesTools


class Cluster(KubernetesTools):
    """A Kubernetes with working nodes. kubectl() and helm() are ready after start()."""

    host_ip: str  # Where pods reach servers that listen on this machine.
    image: str  # Mailfetch's image, after load_images().
    redis_image: str  # A Redis-compatible server's image, after load_images().

    @abstractmethod
    def start(self) -> None:
        """Returns when pods can run."""

    @abstractmethod
    def stop(self) -> None:
        """Ends what start() began."""

    @abstractmethod
    def load_images(self) -> None:
        """Makes the images available to pods (imagePullPolicy: IfNotPresent)."""

    @abstractmethod
    def import_image(self, tar: Path) -> None:
        """Makes the image of an archive available to pods."""

    @abstractmethod
    def make_volumes(self, count: int) -> None:
        """Sees to it that `count` more persistent volume claims of the default storage class can be bound."""

    @abstractmethod
    def pod_kill(self, namespace: str, pod: str, container: str) -> None:
        """Ends the processes of a container by SIGKILL, without any warning."""
