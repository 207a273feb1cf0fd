"""Our import names are ours alone, and what must never stand beside us is not asked for."""

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = ("xds-protos", "grpcio-admin", "grpcio-csds", "betterproto2")


@pytest.mark.parametrize("name", ["xds", "kong_sync"])
def test_an_import_name_of_ours_belongs_to_our_distribution_alone(name: str) -> None:
    assert set(packages_distributions()[name]) == {"gatecast"}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_distribution_that_takes_our_names_is_not_asked_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert not [one for one in asked if one.startswith(name)]


@pytest.mark.parametrize("name", ["xds-protos", "grpcio-admin", "grpcio-csds"])
def test_the_lock_file_does_not_bring_it_in_either(name: str) -> None:
    assert f"\n{name}==" not in (ROOT / "requirements.lock").read_text()
