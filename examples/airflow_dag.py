"""Airflow asks Warrant for a retraining every night and waits for it; Warrant's policy decides who has to agree."""

from datetime import UTC, datetime, timedelta

import requests
from airflow.decorators import dag, task
from airflow.models import Variable
from airflow.sensors.base import PokeReturnValue

API = "https://warrant.example.org/api/v1"
MODEL = "flight-delay"


def headers(**more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {Variable.get('warrant_token')}", **more}


@dag(schedule="0 3 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1)
def retrain_nightly() -> None:
    @task(retries=3, retry_delay=timedelta(minutes=5))
    def ask(run_id: str = "{{ run_id }}") -> int:
        body = {
            "model": MODEL,
            "trainer": "xgboost_boosting",
            "window": "90d",
            "reason": f"daily, {run_id}",
        }
        answer = requests.post(
            f"{API}/retraining", json=body, headers=headers(**{"Idempotency-Key": run_id}), timeout=60
        )
        answer.raise_for_status()
        return answer.json()["id"]

    @task.sensor(poke_interval=60, timeout=6 * 3600, mode="reschedule")
    def trained(change: int) -> PokeReturnValue:
        answer = requests.get(f"{API}/changes/{change}", headers=headers(), timeout=60)
        answer.raise_for_status()
        if (state := answer.json()["state"]) in ("rejected", "expired", "void", "cancelled", "failed"):
            raise RuntimeError(f"CHG-{change} is {state}: nothing is trained")
        answer = requests.get(f"{API}/retraining", params={"model": MODEL}, headers=headers(), timeout=60)
        answer.raise_for_status()
        for run in answer.json()["runs"]:
            if run["change_id"] == change and run["state"] in ("failed", "cancelled"):
                raise RuntimeError(f"retraining {run['id']} {run['state']}: {run['outcome']}")
            if run["change_id"] == change and run["state"] == "succeeded":
                return PokeReturnValue(is_done=True, xcom_value=run["id"])
        return PokeReturnValue(is_done=False)

    trained(ask())


retrain_nightly()
