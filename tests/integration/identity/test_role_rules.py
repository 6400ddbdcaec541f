"""Roles by what a sign-on provider says: given and taken at each sign-on, changed by two people, locking nobody out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from backend.api.security import COOKIE
from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.governance import execution
from backend.governance.asking import cancel_change, preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.kinds.roles import request_role_rules
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.oidc_documents import forget_documents
from backend.identity.people import GivenByRule, disable_person, person_by_id, set_roles, take_role
from backend.identity.role_rules import RulesAltered, dry_run, read_rules, rules_in_force, store_rules
from backend.identity.roles import Role
from backend.identity.sessions import actor_of, session_of
from backend.identity.tables import OidcClaims, Person, RoleRules
from tests.integration.identity.conftest import SYSTEM, TestClient, add_person
from tests.integration.identity.providers import CrookedProvider
from tests.integration.identity.test_single_sign_on import configure, open_browser

LEADS = "rules: [{provider: sso, claim: groups, value: leads, role: ml_lead}]"
BOTH = """
rules:
  - {provider: sso, claim: groups, value: leads, role: ml_lead}
  - {provider: sso, claim: realm_access.roles, value: root, role: admin}
  - {provider: elsewhere, claim: groups, value: leads, role: compliance}
"""


@pytest.fixture(scope="module")
def _provider() -> Iterator[CrookedProvider]:
    made = CrookedProvider()
    yield made
    made.close()


@pytest.fixture
def provider(_provider: CrookedProvider) -> CrookedProvider:
    _provider.claims, _provider.metadata, _provider.forge = {}, {}, None
    return _provider


@pytest.fixture
def browser(
    migrated_home: object, provider: CrookedProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    forget_documents()
    configure(monkeypatch, issuer=provider.issuer)
    with open_browser() as client:
        yield client


@pytest.fixture
def admin(browser: TestClient) -> Actor:
    return actor(add_person("root", Role.ADMIN))


@pytest.fixture
def compliance(browser: TestClient) -> Actor:
    return actor(add_person("reviewer", Role.COMPLIANCE))


def actor(person: Person) -> Actor:
    with reading() as session:
        return actor_of(person_by_id(session, person.id), session_id=None)


def sign_on(browser: TestClient, provider: CrookedProvider, **claims: Any) -> str:
    provider.claims = claims
    browser.cookies.clear()
    answer = provider.agree(browser.get("/oidc/start").headers["location"])
    answered = browser.get("/oidc/callback", params=answer)
    assert answered.status_code == 303, answered.text
    return str(browser.cookies[COOKIE])


def roles(token: str) -> set[Role]:
    found = session_of(token)
    assert found is not None
    return set(found.actor.roles)


def ask(admin: Actor, text: str) -> Change:
    with reading() as session:
        seen = preview_change(session, admin, Asked("roles", "*", subject={"document": text})).digest
    with writing() as session:
        return request_role_rules(session, admin, document=text, reason="so", seen_digest=seen)


def put_in_force(admin: Actor, compliance: Actor, text: str) -> Change:
    """Asked for, approved by somebody else, and carried out."""
    return carry_out(compliance, ask(admin, text))


def carry_out(compliance: Actor, change: Change) -> Change:
    with writing() as session:
        decide(session, compliance, change.id, verdict="approve", comment="", seen_digest=change.digest)
    with writing() as session:
        assert execution.begin(session, SYSTEM, change.id, f"change-{change.id}") is not None
        execution.apply_record(session, SYSTEM, change.id)
    with reading() as session:
        return session.get_one(Change, change.id)


def test_other_rules_take_two_people(admin: Actor, compliance: Actor) -> None:
    change = ask(admin, LEADS)
    assert (change.state, change.policy["name"]) == ("waiting", "who gets which role by sign-on")
    assert change.evidence["texts"]["before"] == "schema: 1\nrules: []\n"
    with writing() as session, pytest.raises(NotAllowed):
        decide(session, admin, change.id, verdict="approve", comment="", seen_digest=change.digest)
    both = actor(add_person("both", Role.ADMIN, Role.COMPLIANCE))
    with writing() as session:
        cancel_change(session, admin, change.id, reason="")
    change = ask(both, LEADS)
    with writing() as session, pytest.raises(NotAllowed):
        decide(session, both, change.id, verdict="approve", comment="", seen_digest=change.digest)
    for who in (compliance, actor(add_person("lead", Role.ML_LEAD))):
        with reading() as session, pytest.raises(NotAllowed):
            preview_change(session, who, Asked("roles", "*", subject={"document": LEADS}))
    with writing() as session, pytest.raises(BadInput, match="is asked for on the page People"):
        lead = actor(add_person("asker", Role.ML_LEAD))
        request_change(
            session, lead, Asked("roles", "*", subject={"document": LEADS}), reason="x", seen_digest=""
        )


def test_rules_hold_at_each_sign_on_and_sessions_obey_at_once(
    browser: TestClient, provider: CrookedProvider, admin: Actor, compliance: Actor
) -> None:
    before = sign_on(browser, provider, groups=["leads"])
    assert roles(before) == set()
    done = put_in_force(admin, compliance, BOTH)
    assert done.outcome == "revision 2 of the role rules is in force"
    assert roles(before) == set(), "what is gained is gained by signing on"
    token = sign_on(browser, provider, groups=["leads"], realm_access={"roles": ["root", "other"]})
    assert roles(token) == {Role.ML_LEAD, Role.ADMIN}
    assert roles(before) == roles(token), "the session that was there before, too"
    sign_on(browser, provider, groups="others")
    assert roles(token) == set()
    with reading() as session:
        person = session.scalars(select(Person).where(Person.oidc_subject == "ada")).one()
        said = entries_about(session, "person", [person.id], (Action.ROLES_CHANGED,))[person.id]
        kept = session.get_one(OidcClaims, person.id)
    assert [one.payload["after"] for one in said if one.payload] == [
        ["admin", "ml_lead"],
        [],
    ]
    assert kept.claims == {"groups": "others"}, "no name, no address"


def test_what_is_given_by_hand_is_kept_apart(
    browser: TestClient, provider: CrookedProvider, admin: Actor, compliance: Actor
) -> None:
    put_in_force(admin, compliance, LEADS)
    token = sign_on(browser, provider, groups=["leads"])
    found = session_of(token)
    assert found is not None
    with writing() as session:
        set_roles(session, admin, found.actor.person_id, {Role.ON_CALL, Role.ML_LEAD}, why="rota")
    assert roles(token) == {Role.ON_CALL, Role.ML_LEAD}
    sign_on(browser, provider, groups=[])
    assert roles(token) == {Role.ON_CALL, Role.ML_LEAD}, "by hand it stays"
    sign_on(browser, provider, groups=["leads"])
    with writing() as session:
        set_roles(session, admin, found.actor.person_id, {Role.ON_CALL}, why="rota")
    assert roles(token) == {Role.ON_CALL, Role.ML_LEAD}, "by rule it stays"
    with writing() as session, pytest.raises(GivenByRule, match="have the rule changed"):
        take_role(session, admin, found.actor.person_id, Role.ML_LEAD, why="review")
    sign_on(browser, provider, groups=[])
    assert roles(token) == {Role.ON_CALL}
    sign_on(browser, provider, groups=["leads"])
    with writing() as session:
        disable_person(session, admin, found.actor.person_id, why="left")
        left = take_role(session, admin, found.actor.person_id, Role.ML_LEAD, why="review")
        assert {one.role for one in left.roles} == {Role.ON_CALL.value}, "no sign-on gives it again"


def test_a_dry_run_says_who_would_gain_and_lose(
    browser: TestClient, provider: CrookedProvider, admin: Actor, compliance: Actor
) -> None:
    put_in_force(admin, compliance, LEADS)
    ada = sign_on(browser, provider, groups=["leads"])
    sign_on(browser, provider, sub="grace", groups=["riskers"], preferred_username="grace")
    wanted = "rules: [{provider: sso, claim: groups, value: riskers, role: compliance}]"
    with reading() as session:
        told = dry_run(session, admin, read_rules(wanted))
    assert [(one.username, one.gains, one.loses) for one in told] == [
        ("ada", (), (Role.ML_LEAD,)), ("grace", (Role.COMPLIANCE,), ()),
    ]  # fmt: skip
    assert roles(ada) == {Role.ML_LEAD}, "nothing is changed"
    change = ask(admin, wanted)
    assert change.evidence["cautions"] == [
        "1 person would lose ml_lead at once", "1 person would gain compliance when they sign on next",
    ]  # fmt: skip
    carry_out(compliance, change)
    assert roles(ada) == set(), "what no rule gives any more is taken at once"
    lead = actor(add_person("lead", Role.ML_LEAD))
    with reading() as session, pytest.raises(NotAllowed):
        dry_run(session, lead, read_rules(wanted))


def test_the_last_administrator_is_not_locked_out_by_rules(
    browser: TestClient,
    provider: CrookedProvider,
    admin: Actor,
    compliance: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_in_force(admin, compliance, BOTH)
    token = sign_on(browser, provider, realm_access={"roles": ["root"]})
    with writing() as session:
        me = session.get_one(Person, admin.person_id)
        me.password_hash = None  # nobody but ada can come in any more
    with (
        reading() as session,
        pytest.raises(BadInput, match="no administrator who can sign in would be left"),
    ):
        preview_change(session, admin, Asked("roles", "*", subject={"document": LEADS}))
    sign_on(browser, provider, realm_access={"roles": []})
    assert Role.ADMIN in roles(token), "the group is gone, and so would be everybody who could give it back"
    with reading() as session:
        person = session.scalars(select(Person).where(Person.oidc_subject == "ada")).one()
        last = entries_about(session, "person", [person.id], (Action.ROLES_CHANGED,))[person.id]
    told = last[-1].payload or {}
    assert (told["after"], told["kept"]) == (["admin"], ["admin"]), "and the log says why"
    add_person("second", Role.ADMIN)
    sign_on(browser, provider, realm_access={"roles": []})
    assert Role.ADMIN not in roles(token)


def test_rules_that_were_put_into_the_table_give_nothing(
    browser: TestClient, provider: CrookedProvider, admin: Actor, compliance: Actor
) -> None:
    change = put_in_force(admin, compliance, LEADS)
    with writing() as session:
        altered = read_rules(BOTH)
        session.execute(update(RoleRules).values(document=altered.as_dict()))
    with reading() as session, pytest.raises(RulesAltered, match="put in force"):
        rules_in_force(session)
    provider.claims = {"realm_access": {"roles": ["root"]}}
    answer = provider.agree(browser.get("/oidc/start").headers["location"])
    assert browser.get("/oidc/callback", params=answer).status_code == 409
    with writing() as session:
        session.execute(update(RoleRules).values(document=read_rules(LEADS).as_dict()))
    with writing() as session:
        assert store_rules(session, SYSTEM, altered, change_id=change.id, note="x") == (3, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{provider: sso, claim: email, value: a@example.com, role: admin}]", "email is no claim"),
        ("rules: [{provider: sso, claim: groups, value: a, role: system}]", "'system' is no role"),
        ("rules: [{provider: sso, claim: groups, value: a, role: auditor}]", "'auditor' is no role"),
        ("rules: [{provider: sso, claim: groups, value: a}]", "rules.1.role: Field required"),
        ("rules: [{provider: sso, claim: groups, value: a, role: viewer, when: now}]", "rules.1.when"),
        ("rules: 5", "rules: "),
        ("- 1", "cannot be read"),
        ("rules: [", "no YAML"),
        ("rules: \x93", "no YAML"),
    ],
)
def test_rules_that_cannot_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_rules(text)
    assert said in refused.value.message


def test_claims_are_found_by_name_or_by_their_way() -> None:
    from backend.identity.role_rules import Rules

    found = Rules(
        2, "", read_rules("""
rules:
  - {provider: a, claim: "https://sso.example/groups", value: x, role: on_call}
  - {provider: a, claim: resource_access.warrant.roles, value: lead, role: ml_lead}
  - {provider: a, claim: staff, value: "true", role: ml_engineer}
"""),
    )  # fmt: skip
    assert found.given("a", {"https://sso.example/groups": ["x"]}) == {Role.ON_CALL}
    assert found.given("a", {"resource_access": {"warrant": {"roles": ["lead"]}}}) == {Role.ML_LEAD}
    assert found.given("a", {"staff": True}) == {Role.ML_ENGINEER}
    assert found.given("a", {"staff": {"true": 1}, "resource_access": ["lead"]}) == set()
    assert found.given("b", {"staff": True}) == set(), "another provider says nothing here"
