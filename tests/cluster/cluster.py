"""Which cluster the tests use."""

import os

from tests.cluster.base import Cluster
from tests.cluster.foreign import CONTEXT, ForeignCluster
from tests.cluster.node import Node


def get_cluster() -> Cluster:
    """The cluster that KUBECONFIG and MAILFETCH_TEST_CONTEXT name, or else a temporary one-node Kubernetes."""
    return ForeignCluster() if os.environ.get(CONTEXT) else Node()
