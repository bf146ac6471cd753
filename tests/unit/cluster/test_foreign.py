"""A cluster that the user names is used only when everything about it is said."""

import pytest

from tests.cluster import cluster
from tests.cluster.foreign import CONTEXT, REQUIRED, ForeignCluster
from tests.cluster.node import Node

COMPLETE = {CONTEXT: "mine", **dict.fromkeys(REQUIRED, "value")}


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(RuntimeError, match=name):
        ForeignCluster({key: value for key, value in COMPLETE.items() if key != name})


def test_the_environment_decides_which_cluster_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTEXT, raising=False)
    assert isinstance(cluster.get_cluster(), Node)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    assert isinstance(cluster.get_cluster(), ForeignCluster)
