"""What Warrant is made of, checked: secrets in the tree, known faults and licences of packages, and their list.

    python deploy/supply_chain.py secrets     refuses what looks like a secret and is not in the baseline
    python deploy/supply_chain.py licences    refuses licences that deploy/supply_chain.toml does not allow
    python deploy/supply_chain.py audit       refuses packages with known faults; without an index it says so and passes
    python deploy/supply_chain.py bill        writes build/warrant.cdx.json (CycloneDX), validated
    python deploy/supply_chain.py baseline    writes the baseline anew: look at the difference

`make check` runs the first four. Exit status 1: something is refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
BIN: Final = Path(sys.executable).parent
RULES: Final = ROOT / "deploy" / "supply_chain.toml"
BASELINE: Final = ROOT / "deploy" / "secrets.baseline.json"
BILL: Final = ROOT / "build" / "warrant.cdx.json"
AUDIT_S: Final = 60

# Public vectors of standards, pictures and pinned digests: long random text that is no secret of anybody.
NOT_SCANNED: Final = re.compile(
    r"^(tests/conformance/vectors/|deploy/secrets\.baseline\.json$|benchmarks/results\.json$)|\.(png|svg|parquet|pdf|woff2)$"
)
# Not the detectors of entropy: digests and ids, which are everywhere here, look the same to them.
DETECTORS: Final = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "KeywordDetector",
    "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector",
    "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)  # fmt: skip


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def rules() -> dict[str, Any]:
    return tomllib.loads(RULES.read_text())


def found_secrets(root: Path, files: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """What looks like a secret, by file; only hashes of it."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import transient_settings

    found = SecretsCollection(root=str(root))
    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        found.scan_files(*(one for one in files if not NOT_SCANNED.search(one) and (root / one).is_file()))
    return dict(found.json())


def new_secrets(found: dict[str, list[dict[str, Any]]], known: dict[str, list[str]]) -> list[str]:
    """`file:line kind` of each that the baseline does not hold."""
    return [
        f"{file}:{one['line_number']} {one['type']}"
        for file, several in sorted(found.items())
        for one in several
        if one["hashed_secret"] not in known.get(file, [])
    ]


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - of the developer's path
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return listed.stdout.splitlines()


def secrets() -> int:
    found = new_secrets(found_secrets(ROOT, tracked()), json.loads(BASELINE.read_text()))
    for one in found:
        say(f"secrets: {one}; take it out, or where it is none: python deploy/supply_chain.py baseline")
    return bool(found)


def baseline() -> int:
    found = found_secrets(ROOT, tracked())
    known = {
        file: sorted({one["hashed_secret"] for one in several}) for file, several in sorted(found.items())
    }
    BASELINE.write_text(json.dumps(known, indent=1) + "\n")
    return 0


def parts(licence: str) -> tuple[str, ...]:
    """The single licences of an expression, or of classifiers joined by semicolons; of a whole text its first line."""
    first = licence.strip().splitlines()[0].strip() if licence.strip() else "UNKNOWN"
    if first in rules()["licences"]["allowed"]:
        return (first,)
    return tuple(one.strip(" ()") for one in re.split(r";| AND | WITH ", first))


def refused_licences(packages: list[dict[str, str]]) -> list[str]:
    """Each package whose licence is not allowed and was not read by a person. Of `A OR B` one is enough."""
    known, allowed = rules()["licences"]["read"], set(rules()["licences"]["allowed"])
    refused = []
    for one in packages:
        name = re.sub(r"[-_.]+", "-", one["Name"]).lower()
        fits = all(
            any(choice.strip() in allowed for choice in part.split(" OR ")) for part in parts(one["License"])
        )
        if not fits and name not in known:
            refused.append(f"{one['Name']} {one['Version']}: {one['License'].splitlines()[0][:80]}")
    return refused


def licences() -> int:
    listed = _output(BIN / "pip-licenses", "--format=json", f"--python={sys.executable}")
    refused = refused_licences(json.loads(listed))
    for one in refused:
        say(f"licences: {one}; choose another package, or read its licence and name it in {RULES.name}")
    return bool(refused)


def audit() -> int:
    """`pip-audit` asks an index what is known of each pinned version."""
    command = [
        str(BIN / "pip-audit"), "--requirement", str(ROOT / "requirements.txt"), "--disable-pip", "--no-deps",
        "--format", "json", "--progress-spinner", "off", "--timeout", "10",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_S, check=False)
        document = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        say(f"audit: skipped, the index did not answer within {AUDIT_S} s")
        return 0
    except ValueError:
        say(
            f"audit: skipped, no index could be asked: {(done.stderr.strip().splitlines() or ['no reason'])[-1][:200]}"
        )
        return 0
    return _judged(document["dependencies"], rules().get("findings", []), date.today())  # noqa: DTZ011 - a day will do


def _judged(packages: list[dict[str, Any]], findings: list[dict[str, Any]], today: date) -> int:
    asked = [one for one in packages if "skip_reason" not in one]
    if not asked:
        say("audit: skipped, the index knows nothing of faults")
        return 0
    lived_with = {(one["package"], one["id"]) for one in findings if today < one["until"]}
    open_faults = [
        f"{one['name']} {one['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'no version'}"
        for one in asked
        for fault in one["vulns"]
        if not {(one["name"], name) for name in (fault["id"], *fault.get("aliases", ()))} & lived_with
    ]
    for one in open_faults:
        say(f"audit: {one}; pin that version, or name it in {RULES.name} with a reason and a date")
    say(f"audit: {len(asked)} of {len(packages)} packages were asked about")
    return bool(open_faults)


def bill() -> int:
    BILL.parent.mkdir(exist_ok=True)
    _output(
        BIN / "cyclonedx-py", "environment", "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible",
        "--validate", "--output-file", str(BILL), sys.executable,
    )  # fmt: skip
    return 0


def _output(program: Path, *arguments: str) -> str:
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


COMMANDS: Final[dict[str, Callable[[], int]]] = {
    "secrets": secrets, "licences": licences, "audit": audit, "bill": bill, "baseline": baseline,
}  # fmt: skip


def main(wanted: list[str]) -> int:
    if not wanted or any(one not in COMMANDS for one in wanted):
        say(__doc__ or "")
        return 2
    return max(int(COMMANDS[one]()) for one in wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
