from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from backend.monitoring.columns import ModelSpec, parse_spec
from jobs.demo import census, flights

SPECS = Path(__file__).parents[3] / "jobs" / "demo" / "specs"


@pytest.fixture(scope="session")
def all_flights() -> pd.DataFrame:
    return flights.build_flights()


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    return census.build_census()


@pytest.fixture(scope="session")
def flight_spec() -> ModelSpec:
    return parse_spec(yaml.safe_load((SPECS / "flight-delay.yaml").read_text()))


@pytest.fixture(scope="session")
def census_spec() -> ModelSpec:
    return parse_spec(yaml.safe_load((SPECS / "employment-ma.yaml").read_text()))
