"""Every rule, enum and bound of the CRD, tried on a real API server."""

import pytest

from tests.crd.api import Api, causes
from tests.crd.constraints import Constraint, constraints, reaches, refuses
from tests.crd.manifests import Case, load_cases, manifest

# Some need no API server, but all of them belong to the stage that has one.
pytestmark = pytest.mark.cluster

CASES = load_cases()
ALL = constraints()


def _name(thing: Case | Constraint) -> str:
    return thing.id if isinstance(thing, Case) else f"{thing.path}: {thing.message}"


@pytest.fixture(scope="session")
def object_with_status(api: Api) -> str:
    name = "object-with-status"
    api.create(manifest(name=name))
    return name


@pytest.mark.parametrize("case", [c for c in CASES if c.status is None and c.was is None], ids=_name)
def test_manifest(api: Api, case: Case) -> None:
    result = api.create(case.manifest, "--dry-run=server", check=False)
    _judge(case, [] if result.returncode == 0 else causes(result))


@pytest.mark.parametrize("case", [c for c in CASES if c.status is not None], ids=_name)
def test_status(api: Api, object_with_status: str, case: Case) -> None:
    patch = {"status": case.status}
    result = api.patch(object_with_status, patch, "--subresource=status", "--dry-run=server", check=False)
    _judge(case, [] if result.returncode == 0 else causes(result))


@pytest.mark.parametrize("case", [c for c in CASES if c.was is not None], ids=_name)
def test_update(api: Api, case: Case) -> None:
    api.create(case.was)
    try:
        args = ("replace", "--validate=strict", "--dry-run=server", "--filename", "-")
        result = api.run(*args, input=case.manifest, check=False)
    finally:
        api.run("delete", "mailconnection", case.manifest["metadata"]["name"])
    _judge(case, [] if result.returncode == 0 else causes(result))


def _judge(case: Case, found: list[tuple[str, str]]) -> None:
    for field, text in case.errors.items():
        assert any(f == field and text in m for f, m in found), f"'{field}: {text}' is not among {found}"
    unexpected = [(f, m) for f, m in found if f not in case.errors]
    assert not unexpected


@pytest.mark.parametrize("constraint", ALL, ids=_name)
def test_each_constraint_has_a_refused_manifest(constraint: Constraint) -> None:
    assert any(refuses(case, constraint) for case in CASES)


@pytest.mark.parametrize("constraint", [c for c in ALL if c.kind == "enum"], ids=_name)
def test_each_word_of_an_enum_has_an_accepted_manifest(constraint: Constraint) -> None:
    tried = set().union(*(reaches(case, constraint) for case in CASES))
    assert set(constraint.value) - tried == set()


# A rule ends the name at 52 characters; its bound only keeps the rule within the cost budget.
BOUNDS = [c for c in ALL if c.kind.startswith(("min", "max")) and c.path != "metadata.name"]


@pytest.mark.parametrize("constraint", BOUNDS, ids=_name)
def test_each_bound_has_a_manifest_that_just_fits(constraint: Constraint) -> None:
    assert any(constraint.value in reaches(case, constraint) for case in CASES)
