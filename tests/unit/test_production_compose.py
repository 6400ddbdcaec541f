"""deploy/production: the whole shape in containers, without starting any."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from backend.backups.keys import backup_key
from backend.identity.providers import BY_VARIABLES
from backend.notifications.contacts import parse_contacts
from backend.notifications.pagers import pagers
from backend.settings import Settings, settings
from tests.requirements import require
from tests.unit.test_packaging import BIN, ROOT, refused_command, run, settings_given

HERE = ROOT / "deploy" / "production"
DONE_ONCE = {"upgrade", "folders", "bucket"}


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((HERE / "compose.yml").read_text())
    return document


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def test_the_file_follows_the_published_schema() -> None:
    checked = run(
        str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(HERE / "compose.yml")
    )
    assert checked.returncode == 0, checked.stdout


def test_the_whole_shape_is_there() -> None:
    wanted = {
        "postgres", "objects", "mlflow", "prometheus", "alertmanager", "keycloak", "proxy", "console-1", "console-2",
        "worker", "gpu-worker", "gateway", "upgrade",
    }  # fmt: skip
    assert wanted <= set(services())
    assert services()["worker"]["deploy"]["replicas"] >= 2
    for name, one in services().items():
        assert ":latest" not in one["image"] and ":" in one["image"], name
        for needed, condition in (one.get("depends_on") or {}).items():
            needs_end = condition["condition"] == "service_completed_successfully"
            assert needs_end == (needed in DONE_ONCE), f"{name} waits for {needed}"
            assert needs_end or not services()[needed].get("healthcheck", {}).get("disable")


def test_every_container_is_held_to_the_least() -> None:
    for name, one in services().items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["read_only"] is (name != "keycloak"), name
        assert one["user"].startswith("0:") is (name == "folders"), name
        ours = one["image"].split(":")[0] in ("warrant", "warrant-gpu")
        said = "healthcheck" in one or name in DONE_ONCE or ours
        assert said, f"{name} says not how it is"


def test_secrets_are_files_and_nothing_else() -> None:
    declared = compose()["secrets"]
    assert all(set(one) == {"file"} for one in declared.values())
    for name, one in services().items():
        assert set(one.get("secrets", ())) <= set(declared), name
        used = set(re.findall(r"/run/secrets/(\w+)", json.dumps(one)))
        assert used <= set(one.get("secrets", ())), name
        for variable, value in (one.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|CREDENTIALS|TOKEN|DATABASE_URL", variable):
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"
    assert "/deploy/production/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_secrets_are_made_once(tmp_path: Path) -> None:
    def make() -> subprocess.CompletedProcess[str]:
        return run(sys.executable, str(HERE / "make_secrets.py"), str(tmp_path / "secrets"))

    first = make()
    assert first.returncode == 1
    assert "write the address into" in first.stderr
    for name in ("pager_url", "silence_watch_url"):
        (tmp_path / "secrets" / name).write_text("https://pager.example.org/x")
    before = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert make().returncode == (0 if os.geteuid() == 0 else 1), "a key is given away by root alone"
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == before
    assert set(before) == {Path(one["file"]).name for one in compose()["secrets"].values()}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert before["database_password"].strip() in before["database_url"]


def test_the_key_of_backups_is_what_warrant_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = runpy.run_path(str(HERE / "make_secrets.py"))
    user = made["CONTAINERS_USER"]
    assert services()["worker"]["user"] == f"{user}:{user}"
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda _path, *ids: given.append(ids))
    made["main"](tmp_path)
    assert given == [(user, user)]
    assert "sudo chown 10001:10001" in capsys.readouterr().err, "until it is theirs it is said what to do"
    key = tmp_path / "backup_key"
    assert key.stat().st_mode & 0o777 == 0o400
    monkeypatch.setenv("WARRANT_BACKUP_KEY_FILE", str(key))
    settings.cache_clear()
    assert backup_key().secret.hex() == key.read_text().strip()


def test_workers_make_backups_and_they_alone_have_the_key() -> None:
    for name, one in services().items():
        if not one["image"].startswith(("warrant:", "warrant-gpu:")):
            continue
        assert one["environment"]["WARRANT_BACKUP_FOLDER"] == "/backups", name
        mine = name == "worker"
        assert ("backup_key" in one["secrets"]) is mine, name
        assert ("WARRANT_BACKUP_KEY_FILE" in one["environment"]) is mine, name
        assert ("backups:/backups" in one["volumes"]) is mine, name
    folders = services()["folders"]
    assert "/backups" in folders["command"] and "backups:/backups" in folders["volumes"]
    assert "folders" in services()["worker"]["depends_on"]


def test_an_incident_is_told_to_alertmanager() -> None:
    worker = services()["worker"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in worker["volumes"]}
    contacts = parse_contacts((HERE / mounted[worker["environment"]["WARRANT_CONTACTS"]]).read_text())
    assert pagers(contacts) == ("pager",)
    assert contacts.channels["pager"] == {"kind": "alertmanager", "url": "http://alertmanager:9093"}


def test_our_commands_and_settings_exist() -> None:
    for name, one in services().items():
        if one["image"].startswith(("warrant:", "warrant-gpu:")):
            assert refused_command(one["command"]) is None, name
            assert settings_given(one["environment"]) == set(), name
    for argument in re.findall(r"requirements[\w-]*\.txt", (HERE / "compose.yml").read_text()):
        assert (ROOT / argument).is_file()
        assert argument in (ROOT / "Dockerfile").read_text()
        assert f"!{argument}" in (ROOT / ".dockerignore").read_text()


def test_files_that_are_mounted_exist() -> None:
    for name, one in services().items():
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (HERE / source).is_file(), f"{name}: {source}"
            else:
                assert source in compose()["volumes"], f"{name}: {source}"


def test_both_consoles_are_behind_the_proxy_without_affinity() -> None:
    text = (HERE / "Caddyfile").read_text()
    consoles = {f"{name}:{Settings().port}" for name in services() if name.startswith("console")}
    line = re.search(r"reverse_proxy (console.+) \{", text)
    assert line is not None
    assert set(line[1].split()) == consoles
    policy = re.search(r"lb_policy (\w+)", text)
    assert policy is not None
    assert policy[1] in ("least_conn", "round_robin", "random")
    assert services()["console-1"] == services()["console-2"]
    assert "ports" not in services()["console-1"]


def test_the_proxy_waits_for_no_slow_client_without_end() -> None:
    text = (HERE / "Caddyfile").read_text()
    options = re.search(r"\A(?:#.*\n)*\{\n(.*?)\n\}\n", text, re.DOTALL)
    assert options is not None
    servers = re.search(r"^\tservers \{\n(.*?)^\t\}", options[1] + "\n", re.DOTALL | re.MULTILINE)
    assert servers is not None
    timeouts = dict(re.findall(r"^\t\t\t(\w+) (\d+[sm])$", servers[1], re.MULTILINE))
    seconds = {name: int(value[:-1]) * {"s": 1, "m": 60}[value[-1]] for name, value in timeouts.items()}
    # `write` would end a WebSocket's page and a long download; the others are over when a socket is taken over.
    assert seconds.keys() == {"read_header", "read_body", "idle"}
    assert seconds["read_header"] <= 30
    assert 0 < seconds["idle"] <= 300
    most = re.search(r"max_size (\d+)MiB", text)
    assert most is not None
    assert int(most[1]) * 8.4 / seconds["read_body"] <= 5, "the longest body comes in time at 5 Mbit/s"


def test_what_comes_by_the_proxy_is_believed_and_nothing_else() -> None:
    subnet = compose()["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert services()["console-1"]["environment"]["WARRANT_TRUSTED_PROXIES"] == subnet
    for other in ("console-1", "console-2", "keycloak"):
        assert shared("proxy", other) == {"inside"}, f"the proxy may come to {other} from another network"


def test_of_what_is_inside_alertmanager_alone_may_be_reached() -> None:
    """An address that somebody wrote down leads to no database, proxy or sign-on."""
    told = compose()["networks"]["inside"]["ipam"]["config"][0]
    environment = services()["worker"]["environment"]
    assert environment["WARRANT_HEARTBEAT"] == "alertmanager http://alertmanager:9093"
    address = ip_address(services()["alertmanager"]["networks"]["inside"]["ipv4_address"])
    allowed = [ip_network(one) for one in environment["WARRANT_REACHABLE_NETWORKS"].split(",")]
    assert allowed == [ip_network(f"{address}/32")]
    assert address in ip_network(told["subnet"])
    assert address not in ip_network(told["ip_range"]), "another container could be given it"
    fixed = [name for name in services() if "ipv4_address" in json.dumps(services()[name].get("networks"))]
    assert fixed == ["alertmanager"]
    assert shared("worker", "alertmanager") == {"inside"}


def shared(one: str, other: str) -> set[str]:
    """Networks that two services are in: names lead over any of them."""
    return set(services()[one]["networks"]) & set(services()[other]["networks"])


def test_prometheus_scrapes_judges_and_tells() -> None:
    document = yaml.safe_load((HERE / "prometheus.yml").read_text())
    targets = {one for job in document["scrape_configs"] for one in job["static_configs"][0]["targets"]}
    assert targets == {"gateway:8600", "console-1:8501", "console-2:8501"}
    told = document["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert told == ["alertmanager:9093"]
    mounted = [volume.split(":")[1] for volume in services()["prometheus"]["volumes"]]
    assert f"/etc/prometheus/{document['rule_files'][0]}" in mounted


def test_alertmanager_takes_its_file(tmp_path: Path) -> None:
    # The one of Debian does not know `url_file` yet, which the pinned one does.
    text = (HERE / "alertmanager.yml").read_text().replace("url_file: /run", "url: http://a/run")
    (tmp_path / "alertmanager.yml").write_text(text)
    checked = run(require("amtool"), "check-config", str(tmp_path / "alertmanager.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alertmanager_sends_the_heartbeat_to_whoever_pages_in_its_absence() -> None:
    route = yaml.safe_load((HERE / "alertmanager.yml").read_text())["route"]["routes"][0]
    assert route["matchers"] == ['alertname="WarrantAlive"']
    assert route["receiver"] == "silence-watch"


def test_the_realm_lets_warrant_in_and_nobody_else() -> None:
    realm = json.loads((HERE / "realm.json").read_text())
    (client,) = realm["clients"]
    environment = services()["console-1"]["environment"]
    assert client["clientId"] == environment["WARRANT_OIDC_CLIENT_ID"]
    assert environment["WARRANT_OIDC_ISSUER"].endswith(f"/realms/{realm['realm']}")
    assert client["redirectUris"] == ["${WARRANT_PUBLIC}/oidc/callback"]
    assert client["attributes"]["pkce.code.challenge.method"] == "S256"
    attributes = client["attributes"]
    told = urlsplit(attributes["backchannel.logout.url"])
    assert (told.scheme, told.path) == ("http", f"/oidc/backchannel-logout/{BY_VARIABLES}")
    assert attributes["backchannel.logout.session.required"] == "true"
    consoles = [one for name, one in services().items() if name.startswith("console")]
    assert all(told.hostname in one["networks"]["inside"]["aliases"] for one in consoles)
    assert told.port == Settings().port
    assert shared("keycloak", "console-1") == {"inside"}
    assert client["secret"] == "${WARRANT_CLIENT_SECRET}"
    assert not (
        client["implicitFlowEnabled"] or client["directAccessGrantsEnabled"] or client["publicClient"]
    )
    assert "users" not in realm


@pytest.mark.parametrize("name", ["databases.sh"])
def test_scripts_read(name: str) -> None:
    assert run("sh", "-n", str(HERE / name)).returncode == 0
