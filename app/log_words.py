"""Entries of the log in words: what somebody did to what, as a sentence."""

from __future__ import annotations

from typing import Final

# Where the past of a verb is no `-ed`, or where it stands around what it was done to.
_PAST: Final = {
    "ask_for_changes": "asked for changes to {}", "begin": "began {}", "break": "broke {}",
    "break_glass": "broke the glass for {}", "cancel": "cancelled {}", "draw": "drew {}", "forget": "forgot {}",
    "hand_out": "handed out {}", "hold": "held {}", "make": "made {}", "mark_serious": "marked {} as serious",
    "meet": "met {}", "move_elsewhere": "found moved elsewhere: {}", "overtake": "overtook {}", "set": "set {}",
    "set_enforcement": "set the enforcement of {}", "set_roles": "set the roles of {}",
    "set_tier": "set the tier of {}", "remind": "reminded those who decide on {}",
    "take": "took {}", "tell": "told {}", "tell_again": "told {} again", "write": "wrote {}", "keep": "kept {}",
    "run": "ran {}", "submit": "submitted {}", "resubmit": "resubmitted {}", "step": "stepped on with {}",
    "plan": "planned {}", "trim": "trimmed {}", "refuse": "refused {}", "withdraw": "withdrew {}", "own": "took on {}",
    "void": "voided {}", "retract": "took back an approval of {}",
}  # fmt: skip


def past_of(verb: str) -> str:
    """What was done, with `{}` for what it was done to: `approved {}`."""
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return f"{verb}d {{}}"
    return f"{verb[:-1]}ied {{}}" if verb.endswith("y") and verb[-2] not in "aeiou" else f"{verb}ed {{}}"


def sentence_of(action: str, object_kind: str, object_id: str) -> str:
    """`approved change 4`, `submitted version of card toy/2`: what an entry says, after who did it."""
    if not action:
        return "did what cannot be read"
    thing, verb = [*action.split(":"), "", ""][1:3]
    named = f"{object_kind.replace('_', ' ')} {object_id}".strip()
    whole = named if thing == object_kind or not thing else f"{thing.replace('_', ' ')} of {named}"
    return past_of(verb).format(whole).strip()
