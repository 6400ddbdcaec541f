"""What the demo's models declare of explanations."""

from __future__ import annotations

from backend import clock
from jobs.demo.stages import workloads


def test_the_demo_explains_by_itself_and_names_no_protected_feature_as_a_reason() -> None:
    specs = {one.name: one.spec for one in workloads(clock.now())}
    assert all(spec.explanations is not None and spec.explanations.sample for spec in specs.values())
    employment = specs["employment-ma"]
    told = dict(employment.reason_codes)
    assert told["DIS"] == told["DEAR"], "features that share a sentence count together"
    assert not set(employment.protected) & set(told)
