"""What each role has to find in the console, and in how many clicks: ten steps each. `test_usability` does them.

Every step begins at the home page of somebody who is signed in. A page of the menu is two clicks away at most: where
the menu has no room, its last entry opens the others. `python -m tests.browser.usability` writes docs/usability.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "usability.md"
MODEL: Final = "toy"
MENU: Final = 2

How = Literal["menu", "link", "button", "radio"]


@dataclass(frozen=True)
class Step:
    """find: the question; clicks: allowed; ways: what is clicked, (what it is, its name as a pattern); shown: a
    heading, or `/page` for an address, by which it is found."""

    find: str
    clicks: int
    ways: tuple[tuple[How, str], ...]
    shown: str


CHANGE, INCIDENT = ("link", r"CHG-1\b"), ("link", r"INC-1\b")
THE_MODEL: Final = ("link", rf"^{MODEL}$")

LEAD: Final = (
    Step("Which model is worst, and how bad is it?", 0, (), rf"worst: {MODEL}"),
    Step("Open what waits for my decision.", 1, (CHANGE,), r"^CHG-1: "),
    Step("What happens if I agree: the plan and the way back?", 1, (CHANGE,), "plan and way back"),
    Step("Which versions are there, and how good were they?", 1, (THE_MODEL,), "^Versions$"),
    Step("What drives the version that serves?", 1, (THE_MODEL,), r"^What drives v\d"),
    Step(
        "What would I ask for if I promoted a version?",
        2,
        (THE_MODEL, ("link", "Promote a version")),
        "You would ask",
    ),
    Step("Ask for a retraining.", 2, (THE_MODEL, ("link", "Retrain it")), "/retraining"),
    Step("How did the model do, window by window?", MENU, (("menu", "Performance"),), "/performance"),
    Step("Who must agree to what?", MENU, (("menu", "Policy"),), "of the policy is in force"),
    Step("What was decided before?", MENU, (("menu", "Approvals"),), "^History$"),
)
ON_CALL: Final = (
    Step("What is wrong?", 0, (), rf"worst: {MODEL}"),
    Step("Open the incident that nobody is on.", 1, (INCIDENT,), r"^INC-1 SEV-\d"),
    Step("What is suspected to be the cause?", 1, (INCIDENT,), "suspected causes"),
    Step("What changed around it?", 1, (INCIDENT,), "Changes and faults around it"),
    Step("Ask for the way back.", 2, (INCIDENT, ("link", "Return to an earlier version")), "You would ask"),
    Step("Which columns moved?", 2, (INCIDENT, ("link", "^.*Drift$")), "/drift"),
    Step("What is missing or out of range?", 2, (INCIDENT, ("link", "^.*Data quality$")), "/quality"),
    Step("What is muted, and until when?", 2, (INCIDENT, ("link", "Silences and maintenance")), "/silences"),
    Step("Which budgets burn?", MENU, (("menu", "SLOs"),), "/slos"),
    Step("What failed in the background?", MENU, (("menu", "Jobs"),), "^Warrant itself$"),
)
COMPLIANCE: Final = (
    Step("Is the record intact?", MENU, (("menu", "Audit"),), "/audit"),
    Step("What does one entry prove?", MENU + 1, (("menu", "Audit"), ("link", r"^\d+$")), "/audit_entry"),
    Step(
        "Where do record and world differ?",
        MENU + 1,
        (("menu", "Audit"), ("radio", "^Findings$")),
        "view=findings",
    ),
    Step(
        "Draw a sample of a period.",
        MENU + 1,
        (("menu", "Audit"), ("radio", "^Population")),
        "view=population",
    ),
    Step(
        "What served when, and who decided so?",
        2,
        (THE_MODEL, ("link", "What served at a moment")),
        "/timeline",
    ),
    Step("What is due for a model?", MENU + 1, (("menu", "Inventory"), ("link", "^Toy")), "^Findings$"),
    Step("Make an evidence pack of a model.", 2, (THE_MODEL, ("link", "Evidence pack of it")), "/packs"),
    Step(
        "Read the card of the version that serves.",
        2,
        (THE_MODEL, ("link", r"(Read the card|Write the card)")),
        "/card",
    ),
    Step("Which controls lack evidence?", MENU, (("menu", "Controls"),), "/controls"),
    Step("Who has which rights, and since when?", MENU, (("menu", "Access"),), "/access"),
)
ROLES: Final[Mapping[str, tuple[str, tuple[Step, ...]]]] = {
    "lead": ("ML lead", LEAD),
    "on_call": ("On-call", ON_CALL),
    "compliance": ("Compliance", COMPLIANCE),
}


def document() -> str:
    """docs/usability.md."""
    parts = [
        "# Ten steps per role\n\nWhat a person in each role has to find, and the clicks allowed from the home page to "
        "the place where it stands. Tests do them in a real browser, count the clicks, and fail where it takes more.\n"
    ]
    for title, steps in ROLES.values():
        rows = "".join(
            f"| {number} | {one.find} | {one.clicks} |\n" for number, one in enumerate(steps, start=1)
        )
        parts.append(f"\n## {title}\n\n| step | find | clicks |\n| ---: | --- | ---: |\n{rows}")
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
