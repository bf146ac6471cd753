"""The executable that is a whole Kubernetes: where it is, and its kubectl and helm."""

import functools
import subprocess
from pathlib import Path

from tests.cluster.processes import REPOSITORY, run


@functools.cache
def onenode_folder() -> Path:
    """The folder with kubectl, helm, etcd and so on; compiles them first if needed, which takes minutes."""
    # Standard error stays the caller's: it shows the progress.
    result = subprocess.run([REPOSITORY / "hack/build-onenode.sh"], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError("Kubernetes for the tests could not be compiled: run hack/build-onenode.sh to see why")
    return Path(result.stdout.splitlines()[-1])


class KubernetesTools:
    """kubectl and helm for one kubeconfig; base class of everything that is a cluster."""

    kubeconfig: Path

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # as in subprocess.run
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; raises CommandFailed with its output unless it succeeds or `check` is off."""
        env = {"KUBECONFIG": str(self.kubeconfig)}
        return run([onenode_folder() / "kubectl", *args], input=input, env=env, check=check)

    def helm(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs helm, with its own files kept beside the kubeconfig."""
        env = {"KUBECONFIG": str(self.kubeconfig)}
        for kind in ("CACHE", "CONFIG", "DATA"):
            env[f"HELM_{kind}_HOME"] = str(self.kubeconfig.parent / "helm" / kind.lower())
        return run([onenode_folder() / "helm", *args], env=env, check=check)
