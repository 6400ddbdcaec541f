"""Warrant's own gateways. They follow the deployment record by themselves; here they are only looked at."""

from __future__ import annotations

from backend.database.session import reading
from backend.deployment.service import live_reports
from backend.deployment.tables import GatewayReport
from backend.deployment.targets import Observed, Wanted


class GatewayTarget:
    """Settled when every gateway that is alive reports exactly what is wanted."""

    name = "gateway"

    def ensure(self, wanted: Wanted) -> None:
        """Nothing: the record is written, and gateways read it several times a second."""

    restore = ensure

    def lacks(self, wanted: Wanted) -> str | None:
        """Nothing: gateways are told by the record."""

    def observe(self, wanted: Wanted) -> Observed:
        with reading() as session:
            reports = live_reports(session, wanted.model, wanted.environment)
        if not reports:
            return Observed(
                False, "no gateway reports for this environment; start one, then ask again", anybody=False
            )
        behind = [missing for report in reports if (missing := _missing(report, wanted)) is not None]
        refused = next((text for text, for_good in behind if for_good), None)
        text = refused or (behind[0][0] if behind else "")
        return Observed(not behind, text, tuple(sorted({report.url for report in reports})))


def _missing(report: GatewayReport, wanted: Wanted) -> tuple[str, bool] | None:
    """What a gateway lacks of what is wanted, and whether it says that it cannot; None where it has it all."""
    who = f"gateway {report.gateway_id}"
    champion = next((part for part in wanted.parts if part.role == "champion"), None)
    if report.deployment_id != (champion.deployment_id if champion else None):
        if report.error:
            return f"{who} keeps version {report.version}: {report.error}", True
        return f"{who} still serves version {report.version}", False
    beside = {one["deployment_id"]: one for one in report.beside}
    for part in wanted.parts:
        if part.role == "champion":
            continue
        found = beside.pop(part.deployment_id, None)
        if found is None:
            return f"{who} has not seen deployment {part.deployment_id} yet", False
        if not found["loaded"]:
            if found["error"]:
                return f"{who} cannot load version {part.version}: {found['error']}", True
            return f"{who} is loading version {part.version}", False
    if beside:
        return f"{who} still has deployment {min(beside)} beside the champion", False
    return None
