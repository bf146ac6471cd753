"""At every labelled point, one fault after the other (`catalogue` has the points, `strikes` the faults)."""

import random

import pytest

from tests.chaos import cases
from tests.chaos.cases import Case
from tests.chaos.rooms import Rooms
from tests.chaos.scenes import run_case

CASES = cases.chosen(cases.every(), seed=cases.SEED)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_point(case: Case, rooms: Rooms, rng: random.Random) -> None:
    verdict = run_case(case, rooms, rng)
    assert verdict.ok, verdict
