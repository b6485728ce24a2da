"""The OpenAPI document: one row an operation, and what all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from app.domain.errors import Code
from app.domain.events import MAX_ID
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.version import VERSION
from tables.inspect import TABLES
from web.openapi.schemas import CURSOR, DISCARD, ID, REPLAY, SCHEMAS, USER_NAMED, Schema, array, body_of, ref

Who = Literal["anyone", "metrics", "user", "stream"]


@dataclass(slots=True, frozen=True)
class Operation:
    """One method of one route."""

    method: str
    path: str
    """As the router has it, but ``{topic}`` written out: each topic takes another body."""
    summary: str
    who: Who
    statuses: tuple[int, ...]
    schema: str | None = None
    """Of the good answer; ``None``: it is no JSON."""
    media: str = "application/json"
    query: tuple[str, ...] = ()
    body: Schema | None = None


EVENTS = "/api/events/"
_LETTERS = ("topic", "code", "status", "limit")
_READ = (200, 401, 403, 404, 503)
_ADMIN = (200, 401, 403, 503)
_BODY = (400, 401, 403, 408, 413, 415, 503)

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/healthz", "The process answers.", "anyone", (200, 403), "Alive"),
    Operation("GET", "/readyz", "Whether to send clients here.", "anyone", (200, 403, 503), "Readiness"),
    Operation("GET", "/metrics", "Everything measured, for Prometheus.", "metrics", (200, 401, 403), None, "text/plain"),
    Operation("GET", "/openapi.json", "This document.", "anyone", (200, 403)),
    Operation("GET", "/asyncapi.yaml", "The messages of the socket, AsyncAPI 3.0.", "anyone", (200, 403), None, "application/yaml"),
    Operation("GET", "/api/teams/{team}", "A team's state, for its members.", "user", _READ, "Snapshot"),
    Operation("GET", "/api/teams/{team}/members", "Its members, 1,000 at a time.", "user", (*_READ, 400), "Members", query=("after",)),
    Operation("GET", "/api/users/{user}", "A user, their teams and own tasks, for themselves.", "user", _READ, "User"),
    Operation("GET", "/api/tables", "How many rows each table has; admin.", "user", _ADMIN, "Tables"),
    Operation(
        "GET", "/api/tables/{name}", "Rows, sorted by key; admin.", "user", (*_READ, 400), "Rows", query=("prefix", "limit", "cursor")
    ),
    Operation("GET", "/api/tables/{name}/{key}", "One row; admin.", "user", _READ, "Row"),
    Operation("GET", "/api/lag", "How far the groups are behind, and the teams that wait longest; admin.", "user", _ADMIN, "Lag"),
    Operation("GET", "/api/flow", "What comes in by topic, how long it takes to a socket, and hot teams; admin.", "user", _ADMIN, "Flow"),
    Operation(
        "GET",
        "/api/history/{key}",
        "A team's events in the log, and what each changed; admin.",
        "user",
        (*_READ, 400),
        "History",
        query=("events", "before"),
    ),
    Operation(
        "GET",
        "/api/deadletters",
        "What was no event; admin.",
        "user",
        (*_ADMIN, 400),
        "Letters",
        query=_LETTERS,
    ),
    Operation("GET", "/api/deadletters/{letter}", "One dead letter, with its record; admin.", "user", _READ, "Letter"),
    Operation(
        "POST",
        "/api/admin/deadletters/{letter}/replay",
        "Send its record once more; twice delivers one event; admin.",
        "user",
        (200, 404, 409, *_BODY),
        "Replayed",
        body=REPLAY,
    ),
    Operation(
        "POST",
        "/api/admin/deadletters/{letter}/discard",
        "Note that it needs nothing more; admin.",
        "user",
        (200, 404, *_BODY),
        "Discarded",
        body=DISCARD,
    ),
    Operation("GET", "/api/connections", "Open sockets by worker and by team; admin.", "user", _ADMIN, "Connections"),
    Operation("GET", "/api/cluster", "The workers; admin.", "user", _ADMIN, "Cluster"),
    *(
        Operation("POST", EVENTS + topic, f"Write a {topic}; scope produce.", "user", (202, *_BODY), "Written", body=body_of(topic))
        for topic in SOURCE_TOPICS
    ),
    Operation(
        "POST",
        "/api/admin/disconnect",
        "End a user's connections to all workers; no ban; admin.",
        "user",
        (200, *_BODY),
        "Disconnected",
        body=USER_NAMED,
    ),
    Operation(
        "GET",
        "/events",
        "The plain feed of the socket as server-sent events.",
        "stream",
        (200, 400, 401, 403, 429, 503),
        None,
        "text/event-stream",
        query=("userId", "teamId", "Last-Event-ID"),
    ),
    Operation(
        "GET",
        "/ws",
        "The socket; its messages are told by /asyncapi.yaml.",
        "stream",
        (101, 403, 426, 429, 503),
        query=("userId", "teamId"),
    ),
    Operation("GET", "/", "The board.", "anyone", (200, 403), None, "text/html"),
    Operation("GET", "/ops", "The operations page.", "anyone", (200, 403), None, "text/html"),
)
"""Every operation beside those that workers have among themselves, and the files of pages."""

PARAMETERS: dict[str, Schema] = {
    "team": ID,
    "user": ID,
    "name": {"enum": list(TABLES)},
    "key": {"type": "string", "minLength": 1},
    "prefix": {"type": "string", "description": "Begin of the keys."},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "events": {"type": "integer", "minimum": 1, "maximum": 500, "default": 200},
    "before": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "description": "Only events before this offset of the partition."},
    "letter": {"type": "string", "minLength": 1, "description": "The place of its source record, or its own: task.created-3-17."},
    "topic": array({"enum": [*SOURCE_TOPICS, UNIFIED]}) | {"description": "Of these source topics alone."},
    "code": array({"enum": [code.value for code in Code]}) | {"description": "With these errors alone."},
    "status": array({"enum": ["open", "replayed", "discarded"]}),
    "cursor": {"type": "string", "pattern": f"^{CURSOR.pattern}$", "description": "That of the page before."},
    "userId": ID | {"description": "Who it is, while authentication is off; otherwise the token says so."},
    "teamId": array(ID) | {"description": "Of these teams alone; all of the user's where it is missing."},
    "Last-Event-ID": {
        "type": "string",
        "maxLength": 1024,
        "description": "Go on behind the event with this id, as browsers ask by themselves.",
    },
    "after": {"type": "integer", "minimum": 0, "maximum": MAX_ID, "description": "The `cursor` of the page before."},
}


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Teamcast",
            "version": VERSION,
            "summary": "Team events, live, once and in order: the routes beside the socket.",
            "description": "The socket is described by /asyncapi.yaml. Every error is a problem (RFC 9457).",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Without JWT_SECRET and JWT_JWKS_URL none is needed, and the server answers this machine alone.",
                },
                "metrics": {"type": "http", "scheme": "bearer", "description": "METRICS_TOKEN, where it is set."},
                "token": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "token",
                    "description": "For /events and /ws, where browsers can send no header.",
                },
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{one.method.lower()} {one.path}",
        "summary": one.summary,
        "parameters": [*_in_path(one.path), *(_in_query(name) for name in one.query)],
        "responses": {str(status): _response(one, status) for status in sorted(one.statuses)},
        "security": {
            "anyone": [],
            "metrics": [{}, {"metrics": []}],
            "user": [{"bearer": []}],
            "stream": [{"bearer": []}, {"token": []}],
        }[one.who],
    }
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": one.body}}}
    return found


def _in_path(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]} for name in names]


def _in_query(name: str) -> dict[str, Any]:
    place = "header" if name == "Last-Event-ID" else "query"
    # One name, two meanings: the cursor of members is an id, that of rows is not; and histories have a limit of their own.
    return {"name": {"after": "cursor", "events": "limit"}.get(name, name), "in": place, "schema": PARAMETERS[name]}


def _response(one: Operation, status: int) -> dict[str, Any]:
    if status == HTTPStatus.SWITCHING_PROTOCOLS:
        return {"description": "The socket is open."}
    if status < 400:
        schema = {"schema": ref(one.schema)} if one.schema else {}
        return {"description": HTTPStatus(status).phrase, "content": {one.media: schema}}
    if status == 503 and one.schema == "Readiness":
        return {"description": "Not ready, and why.", "content": {"application/json": {"schema": ref("Readiness")}}}
    headers = {401: "WWW-Authenticate", 426: "Upgrade", 429: "Retry-After", 503: "Retry-After"}
    found: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }
    if status in headers:
        found["headers"] = {headers[status]: {"required": True, "schema": {"type": "string"}}}
    return found
