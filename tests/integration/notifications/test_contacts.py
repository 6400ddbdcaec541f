"""The file of contacts: what it says is what happens, and what is wrong in it is told with its line."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.errors import BadInput
from backend.notifications import rotas
from backend.notifications.calendars import people_at
from backend.notifications.contacts import About, Contacts, open_channel, parse_contacts, reached
from backend.notifications.contacts_within import within
from backend.notifications.rotas import fetch_calendars
from tests.integration.notifications.services import dripping

CONTACTS = """\
channels:
  mail: {kind: apprise, url: {env: MAIL_URL}}
  hook: {kind: webhook, url: "https://hook.example/in", secret: {env: HOOK_SECRET}}
  pager: {kind: pagerduty, key: {env: PD_KEY}}
routes:
  - name: serious
    when: {severity: [SEV-1, SEV-2], tier: [high], model: ["credit*"]}
    to: [hook]
    then: [{after_min: 10, to: [pager]}]
  - name: nights
    when: {hours: {from: "20:00", to: "08:00", zone: Europe/Berlin, days: [mon, tue, wed, thu, fri]}}
    to: [mail]
"""
NIGHT = datetime(2026, 3, 3, 2, 0, tzinfo=UTC)  # a Tuesday, 03:00 in Berlin
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


def about(
    severity: int = 1,
    *,
    model: str = "credit-risk",
    tier: str = "high",
    told: datetime | None = None,
    acked: bool = False,
) -> About:
    begun = {} if told is None else {"serious": told}
    return About(severity, tier, model, "production", "", acked, begun)


def names(contacts: Contacts, incident: About, now: datetime) -> list[str]:
    return sorted(one.channel for one in reached(contacts, incident, now))


def test_routes_ask_for_severity_tier_model_and_the_time_of_day() -> None:
    contacts = parse_contacts(CONTACTS)
    assert names(contacts, about(), NOON) == ["hook"]
    assert names(contacts, about(), NIGHT) == ["hook", "mail"]
    assert names(contacts, about(3), NIGHT) == ["mail"]
    assert names(contacts, about(tier="low"), NOON) == []
    assert names(contacts, about(model="fraud"), NOON) == []


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    contacts = parse_contacts(CONTACTS)
    friday_night = datetime(2026, 3, 7, 2, 0, tzinfo=UTC)  # Saturday 03:00 in Berlin: Friday's night
    saturday_night = friday_night + timedelta(days=1)
    assert names(contacts, about(4), friday_night) == ["mail"]
    assert names(contacts, about(4), saturday_night) == []


def test_hours_follow_the_clock_on_the_wall_through_the_change_of_summer_time() -> None:
    contacts = parse_contacts(CONTACTS.replace('from: "20:00", to: "08:00"', 'from: "09:00", to: "10:00"'))
    winter, summer = datetime(2026, 3, 27, 8, 30, tzinfo=UTC), datetime(2026, 3, 30, 7, 30, tzinfo=UTC)
    assert names(contacts, about(4), winter) == ["mail"]
    assert names(contacts, about(4), summer) == ["mail"]
    assert names(contacts, about(4), summer + timedelta(hours=1)) == []


def test_an_escalation_counts_from_when_its_route_began_and_ends_with_an_acknowledgement() -> None:
    contacts = parse_contacts(CONTACTS)
    told = NOON - timedelta(minutes=10)
    assert names(contacts, about(told=told), NOON - timedelta(seconds=1)) == ["hook"]
    assert names(contacts, about(told=told), NOON) == ["hook", "pager"]
    assert names(contacts, about(told=told, acked=True), NOON) == ["hook"]


@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        ("channels: {mail: [}", 1, "expected"),
        ("channels:\n  mail: {kind: fax}", 2, "kind is one of"),
        ("channels:\n  mail: {kind: apprise, url: mailto://u:p@h}", 2, "write {env: VARIABLE}"),
        ("channels:\n  h: {kind: webhook, url: https://x}", 2, "needs secret"),
        ("channels:\n  h: {kind: alertmanager, url: https://x, colour: red}", 2, "has no 'colour'"),
        (CONTACTS.replace("to: [mail]", "to: [fax]"), 12, "leads to 'fax', which is no channel"),
        (CONTACTS.replace("Europe/Berlin", "Europe/Nowhere"), 11, "there is no time zone"),
        (CONTACTS.replace("SEV-1", "SEV-9"), 7, "SEV-1"),
        (CONTACTS.replace("nights", "serious"), 10, "two routes are called"),
        (
            CONTACTS + "rotas: {primary: {ics: a.ics, route: none}}\n",
            13,
            "answers route 'none', which is none",
        ),
        (CONTACTS.replace("after_min: 10", "after_min: 0"), 9, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(wrong: str, line: int, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_contacts(wrong, name="contacts.yaml")
    assert refused.value.message.startswith(f"contacts.yaml:{line}:"), refused.value.message
    assert said in refused.value.message


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "key"
    contacts = parse_contacts(f"channels:\n  pager: {{kind: pagerduty, key: {{file: {secret}}}}}\n")
    with pytest.raises(BadInput, match="cannot be read"):
        open_channel(contacts, "pager")
    secret.write_text("k-1\n")
    assert open_channel(contacts, "pager").kind == "pagerduty"
    monkeypatch.delenv("PD_KEY", raising=False)
    with pytest.raises(BadInput, match="env PD_KEY holds none"):
        open_channel(parse_contacts(CONTACTS), "pager")


@pytest.mark.parametrize("address", ["nosuch://user:s3cret@host", "https://nosuch/s3cret"])
def test_an_address_that_apprise_does_not_know_is_said_without_it(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import apprise

    monkeypatch.setattr(apprise.logger, "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MAIL_URL", address)
    with pytest.raises(BadInput) as refused:
        open_channel(parse_contacts(CONTACTS), "mail")
    assert "s3cret" not in refused.value.message
    assert "s3cret" not in caplog.text


CALENDAR = b"""BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//rota//EN
BEGIN:VEVENT
UID:1
SUMMARY:Ada Lovelace
DTSTART;TZID=Europe/Berlin:20260302T090000
DTEND;TZID=Europe/Berlin:20260302T210000
RRULE:FREQ=WEEKLY;INTERVAL=2
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Grace Hopper
DTSTART;TZID=Europe/Berlin:20260309T090000
DTEND;TZID=Europe/Berlin:20260309T210000
RRULE:FREQ=WEEKLY;INTERVAL=2
EXDATE;TZID=Europe/Berlin:20260323T090000
END:VEVENT
END:VCALENDAR
"""


def test_a_calendar_says_who_is_on_call_and_until_when() -> None:
    assert people_at(CALENDAR, datetime(2026, 3, 16, 8, 0, tzinfo=UTC)) == (
        ("Ada Lovelace",), datetime(2026, 3, 16, 20, 0, tzinfo=UTC),
    )  # fmt: skip
    in_summer_time = datetime(2026, 4, 6, 7, 30, tzinfo=UTC)  # 09:30 in Berlin
    assert people_at(CALENDAR, in_summer_time)[0] == ("Grace Hopper",)
    assert people_at(CALENDAR, datetime(2026, 3, 23, 8, 30, tzinfo=UTC)) == ((), None)  # she swapped that day
    with pytest.raises(BadInput, match="no calendar"):
        people_at(b"not a calendar", NOON)


def calendar(*events: str, head: str = "") -> bytes:
    made = "".join(f"BEGIN:VEVENT\nUID:{number}\n{one}\nEND:VEVENT\n" for number, one in enumerate(events))
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//rota//EN\n{head}{made}END:VCALENDAR\n".encode()


@pytest.mark.parametrize("rule", ["", "\nRRULE:FREQ=WEEKLY"])
def test_a_shift_over_the_change_of_summer_time_is_held_to_its_last_hour(rule: str) -> None:
    """From 20:00 to 08:00 in Berlin: thirteen hours in October, eleven in March."""
    for evening, ends in ("20261024", "2026-10-25T07:00Z"), ("20260328", "2026-03-29T06:00Z"):
        held = f"DTSTART;TZID=Europe/Berlin:{evening}T200000\nDTEND;TZID=Europe/Berlin:"
        mine = calendar(f"SUMMARY:Ada\n{held}{int(evening) + 1}T080000{rule}")
        end = datetime.fromisoformat(ends)
        assert people_at(mine, end - timedelta(minutes=1)) == (("Ada",), end)
        assert people_at(mine, end) == ((), None)


def test_of_two_shifts_that_meet_one_holds_and_what_was_cancelled_holds_nobody() -> None:
    first = "SUMMARY:Ada\nDTSTART:20260301T080000Z\nDTEND:20260301T100000Z"
    second = "SUMMARY:Grace\nDTSTART:20260301T100000Z\nDTEND:20260301T120000Z"
    ends = datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert people_at(calendar(first, second), ends - timedelta(milliseconds=1))[0] == ("Ada",)
    assert people_at(calendar(first, second), ends)[0] == ("Grace",)
    assert people_at(calendar(first, f"{second}\nSTATUS:CANCELLED"), ends) == ((), None)


def test_whole_days_begin_at_midnight_of_the_calendars_zone() -> None:
    days = [f"SUMMARY:{who}\nDTSTART;VALUE=DATE:2026030{day}\nDTEND;VALUE=DATE:2026030{day + 1}"
            for day, who in ((1, "Ada"), (2, "Grace"))]  # fmt: skip
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # half past midnight in Berlin
    berlin = calendar(*days, head="X-WR-TIMEZONE:Europe/Berlin\n")
    assert people_at(berlin, late) == (("Grace",), datetime(2026, 3, 2, 23, 0, tzinfo=UTC))
    assert people_at(calendar(*days), late)[0] == ("Ada",)


@pytest.mark.parametrize("rule", ["FREQ=DAILY;INTERVAL=0", "FREQ=SECONDLY", "FREQ=MINUTELY;INTERVAL=5"])
def test_a_rule_without_an_end_is_refused_and_not_followed(rule: str) -> None:
    endless = calendar(f"SUMMARY:Ada\nDTSTART:20200101T080000Z\nDTEND:20200101T090000Z\nRRULE:{rule}")
    with pytest.raises(BadInput, match="none of a rota"):
        people_at(endless, NOON)


@pytest.mark.parametrize("in_head", [False, True], ids=["body", "head"])
def test_a_calendar_that_comes_in_drops_is_cut_off_and_its_address_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_head: bool
) -> None:
    monkeypatch.setattr(rotas, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(rotas, "copy_path", lambda name: tmp_path / name)
    with dripping(in_head=in_head) as address:
        contacts = parse_contacts(f"rotas: {{primary: {{ics: '{address}/s3cr3t.ics'}}}}\n")
        assert fetch_calendars(contacts, NOON) == ["rota primary: the calendar did not come within 0.3 s"]


def test_a_route_that_began_takes_its_steps_after_its_hours_and_above_its_severity_but_not_below() -> None:
    contacts = parse_contacts(
        CONTACTS.replace("to: [mail]", "to: [mail]\n    then: [{after_min: 30, to: [pager]}]").replace(
            "severity: [SEV-1, SEV-2]", "severity: [SEV-3]"
        )
    )
    night_began = About(2, "low", "fraud", "production", "", False, {"nights": NIGHT})
    assert names(contacts, night_began, NOON) == ["mail", "pager"]
    assert names(contacts, about(1, told=NOON - timedelta(hours=1)), NOON) == ["hook", "pager"]
    assert names(contacts, about(4, told=NOON - timedelta(hours=1)), NOON) == []


TWO_TEAMS = """\
channels:
  phone: {kind: pagerduty, key: {env: PAGER_KEY}}
  mail: {kind: apprise, url: {env: MAIL_URL}}
routes:
  - {name: ours, when: {model: [toy, fraud-*]}, to: [phone]}
  - {name: theirs, when: {model: [fraud-*]}, to: [phone]}
  - {name: squad, when: {team: [rival*]}, to: [phone]}
  - {name: all, to: [phone]}
reminders:
  - {when: {team: [rival*, Ours]}, to: [mail]}
rotas:
  a: {shifts: [{who: Ada, channel: phone}], route: theirs}
  b: {shifts: [{who: Ada, channel: phone}]}
"""


def test_who_sees_some_models_reads_of_no_route_about_others() -> None:
    seen = within(parse_contacts(TWO_TEAMS), {"toy"}, {"Ours"})
    assert [(one.name, one.when.model) for one in seen.routes] == [("ours", ("toy",)), ("all", ())]
    assert [one.when.team for one in seen.reminders] == [("Ours",)]
    assert set(seen.rotas) == {"b"}
