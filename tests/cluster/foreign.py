"""A cluster that the user names, for those who have a better one than the one-node Kubernetes."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.base import Cluster
from tests.cluster.processes import run
from tests.cluster.tools import onenode_folder

CONTEXT = "MAILFETCH_TEST_CONTEXT"
REQUIRED = {
    "KUBECONFIG": "the kubeconfig of the cluster",
    "MAILFETCH_TEST_IMAGE": "Mailfetch's image, in a registry that the cluster pulls from",
    "MAILFETCH_TEST_REDIS_IMAGE": "the image of a Redis or Valkey, likewise",
    "MAILFETCH_TEST_HOST_IP": "an address of this machine that pods can connect to",
}


class ForeignCluster(Cluster):
    """Needs the context's name in MAILFETCH_TEST_CONTEXT and what REQUIRED says. Used, never set up or removed."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        missing = [f"{name} ({meaning})" for name, meaning in REQUIRED.items() if not env.get(name)]
        if missing:
            raise RuntimeError(f"{CONTEXT} is set, so these must be, too: " + "; ".join(missing))
        self._context = env[CONTEXT]
        self._user_kubeconfig = env["KUBECONFIG"]
        self.image = env["MAILFETCH_TEST_IMAGE"]
        self.redis_image = env["MAILFETCH_TEST_REDIS_IMAGE"]
        self.host_ip = env["MAILFETCH_TEST_HOST_IP"]
        self._folder: Path | None = None

    def start(self) -> None:
        """Copies the one context of the kubeconfig, so that nothing can happen to another cluster by mistake."""
        view = ["config", "view", "--minify", "--flatten", "--raw", f"--context={self._context}"]
        text = run([onenode_folder() / "kubectl", *view], env={"KUBECONFIG": self._user_kubeconfig}).stdout
        self._folder = Path(tempfile.mkdtemp(prefix="mailfetch-foreign-"))
        self.kubeconfig = self._folder / "kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(text)
        self.kubectl("get", "--raw", "/readyz")

    def stop(self) -> None:
        """Removes the copy of the kubeconfig."""
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def load_images(self) -> None:
        """Nothing to do: the cluster pulls the images that the user named."""

    def import_image(self, tar: Path) -> None:
        """Nothing to do: the cluster pulls the images that the user named."""

    def make_volumes(self, count: int) -> None:
        """Nothing to do: the cluster's default storage class makes volumes."""

    def pod_kill(self, namespace: str, pod: str, container: str) -> None:
        """Deletes the pod without grace: from outside of the node, there is nothing closer to a SIGKILL."""
        self.kubectl("-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force")
