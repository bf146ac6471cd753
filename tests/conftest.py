"""Fixtures that more than one folder of tests uses."""

import pytest

from tests.cluster.fixtures import *  # noqa: F403 - pytest finds fixtures by name
from tests.servers.fixtures import *  # noqa: F403

pytest.register_assert_rewrite("tests.integration.logins", "tests.unit.logins")
