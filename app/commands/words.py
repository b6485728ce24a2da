"""Names and titles that people can read, for the simulator."""

from __future__ import annotations

import random

_FIRST = (
    *("Ada", "Bruno", "Chiara", "Daniel", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Leo"),
    *("Maya", "Nils", "Olga", "Pablo", "Quinn", "Rosa", "Samir", "Tilda", "Umar", "Vera", "Wanda", "Yusuf"),
)
_LAST = (
    *("Almeida", "Brandt", "Costa", "Dubois", "Eriksen", "Fischer", "Gupta", "Haddad", "Ito", "Jensen", "Keller", "Lindqvist"),
    *("Moreau", "Novak", "Okafor", "Petrov", "Quiroga", "Rossi", "Sato", "Tamm", "Uysal", "Vogel", "Wagner", "Young"),
)
_TEAMS = (
    *("Atlas", "Harbor", "Juniper", "Meridian", "Nimbus", "Orchard", "Pioneer", "Quartz"),
    *("Riverbend", "Summit", "Tidewater", "Umbra", "Vanguard", "Willow", "Yonder", "Zephyr"),
)
_PURPOSES = ("Web shop", "Mobile apps", "Payments", "Customer care", "Search", "Data platform", "Onboarding", "Operations")

_VERBS = ("Review", "Write", "Fix", "Draft", "Update", "Test", "Plan", "Simplify", "Translate", "Measure", "Present", "Clean up")
_OBJECTS = (
    *("the release notes", "the sign-up form", "the billing page", "the search results", "the on-call guide", "the price list"),
    *("the welcome e-mail", "the backup report", "the dark theme", "the import wizard", "the team calendar", "the export to CSV"),
    *("the error messages", "the mobile menu", "the budget for spring", "the customer survey", "the load test", "the privacy notice"),
)
_NOTES = (
    *("Ask the customers first.", "Two of them wait for this.", "See the notes of Monday's meeting.", "Smaller is better here."),
    *("Needs a second pair of eyes.", "Blocked until the design is agreed.", "Nobody remembers why it is like this."),
)

ROLES = ("member", "member", "member", "admin", "viewer")
PRIORITIES = ("low", "normal", "normal", "high", "urgent")


def user_name(number: int) -> str:
    """Name of the user with this number, counted from 0; no two are the same."""
    turn, first = divmod(number, len(_FIRST))
    again, shift = divmod(turn, len(_LAST))
    # Seven has no factor in common with the 24 last names, so the pairs look mixed and meet only after 576 users.
    name = f"{_FIRST[first]} {_LAST[(first * 7 + shift) % len(_LAST)]}"
    return f"{name} {again + 1}" if again else name


def email_of(name: str) -> str:
    """A user's address, in a domain that is nobody's (RFC 2606)."""
    return f"{name.lower().replace(' ', '.')}@example.org"


def team_name(number: int) -> str:
    """Name of the team with this number, counted from 0; no two are the same."""
    again, place = divmod(number, len(_TEAMS))
    return f"{_TEAMS[place]} {again + 1}" if again else _TEAMS[place]


def team_purpose(number: int) -> str:
    """What the team with this number works on."""
    return _PURPOSES[number % len(_PURPOSES)]


def title(rng: random.Random) -> str:
    """A task's title."""
    return f"{rng.choice(_VERBS)} {rng.choice(_OBJECTS)}"


def note(rng: random.Random) -> str | None:
    """A task's description; some have none."""
    return rng.choice((None, *_NOTES))
