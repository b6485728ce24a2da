"""The templates: one for each kind of event, as text with the subject in its first line, and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from app.domain.requests import Request
from app.domain.topics import SOURCE_TOPICS

OTHER = "event"
"""The template of a type that has none of its own, and its name in the metric."""
LONGEST = 2000
"""Characters of a description that a mail shows."""


@dataclass(slots=True, frozen=True)
class Texts:
    """A mail's words."""

    subject: str
    text: str
    html: str


def template_of(event_type: str) -> str:
    """The template of a type; a closed set, whatever is asked."""
    return event_type if event_type in SOURCE_TOPICS else OTHER


def render(request: Request, username: str | None, public_url: str) -> Texts:
    """The words of a request's mail.

    Args:
        request: what it is about.
        username: of the recipient.
        public_url: where links lead, without a trailing slash.
    """
    name = template_of(request.type)
    words = _words(request, username, public_url)
    subject, _, text = _template(f"{name}.txt").render(words).partition("\n")
    return Texts(subject, text.strip() + "\n", _template(f"{name}.html").render(words))


def _words(request: Request, username: str | None, public_url: str) -> dict[str, Any]:
    data = request.event["data"]
    team = request.event.get("teamId")
    return {
        # On one line each: the first line of a text template is its subject.
        "name": _line(username),
        "title": _line(request.task_title) or _named("task", data.get("taskId")),
        "team": _line(request.team_name) or _named("team", team),
        "personal": team is None,
        "reason": request.reason,
        "role": data.get("role"),
        "data": data,
        "description": _cut(data.get("description")),
        "fields": [(label, _said(data[field])) for field, label in _FIELDS if field in data],
        "at": request.timestamp[:16].replace("T", " ") + " UTC",
        "url": f"{public_url}/?team={team}" if type(team) is int and request.type not in _GONE else f"{public_url}/",
        "home": public_url,
        "type": request.type,
    }


_GONE = ("team.deleted", "team.member_removed")
"""After these the recipient's board has the team no more."""
_FIELDS = (("due", "Due"), ("priority", "Priority"), ("completed", "Completed"))


def _line(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None


def _named(kind: str, number: Any) -> str:
    return f"{kind} {number}" if type(number) is int else f"a {kind}"


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if type(value) is bool:
        return "yes" if value else "no"
    return _cut(str(value))


def _cut(value: Any) -> str:
    text = value if type(value) is str else ""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("notifications", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=64)
def _template(name: str) -> Template:
    return _environment().get_template(name)
