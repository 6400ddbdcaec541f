"""Make a home with one small model in it: `python -m benchmarks.small_home`, into the home of the environment.

Two trained versions of `toy`, the second of which serves, also in MLflow; people with each role, of whom `lead` and
`lead2` decide. It takes seconds, where the demo with its history takes minutes.
"""

from __future__ import annotations

from typing import Final

MODEL: Final = "toy"
VERSIONS: Final = (1, 2)


def make() -> None:
    from backend.database.upgrade import upgrade
    from backend.settings import settings
    from tests.worlds import make_world, register_in_mlflow

    upgrade()
    make_world(settings().resolved_home() / "models", versions=len(VERSIONS), trained=VERSIONS)
    register_in_mlflow(MODEL, len(VERSIONS))


if __name__ == "__main__":
    make()
