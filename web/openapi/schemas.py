"""What bodies look like: JSON Schema 2020-12, as OpenAPI 3.1 takes it."""

from __future__ import annotations

import re
from typing import Any

from app.domain.decode import MAX_EVENT_ID_LENGTH
from app.domain.events import MAX_ID
from app.domain.schema import MAX_EMAIL_LENGTH, MAX_ROLE_LENGTH, MAX_UNKNOWN_MEMBERS
from app.domain.topics import MEMBER_TOPICS, SOURCE_TOPICS, TASK_TOPICS, TEAM_TOPICS
from tables.inspect import TABLES

Schema = dict[str, Any]

ID: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
MAYBE_ID: Schema = {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_ID, "description": "0 and null mean missing."}
CURSOR = re.compile(r"([2-7][0-9a-f])*")
"""A key of /api/tables in hexadecimal."""
COUNT: Schema = {"type": "integer", "minimum": 0}
AMOUNT: Schema = {"type": "number", "minimum": 0}
MAYBE_AMOUNT: Schema = {"type": ["number", "null"], "minimum": 0}
TEXT: Schema = {"type": ["string", "null"]}
POSITION: Schema = {"type": "string", "description": "Opaque. Those of one team compare as strings in log order."}
EMAIL = r"^[^\s\x00-\x1f\x7f-\x9f@,;<>]+@[^\s\x00-\x1f\x7f-\x9f@,;<>]+$"
PRINTABLE_ASCII = r"^[ -~]+$"
TIMESTAMP = (
    r"^((19[7-9][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z)?$"
)
"""The part of RFC 3339 that writers are told to keep to; what is taken beside it is in docs/protocol.md."""


def shape(*, needed: tuple[str, ...] | None = None, extensible: bool = False, **properties: Schema) -> Schema:
    """An object; every member is needed unless some are named."""
    return shaped(properties, needed) | ({"additionalProperties": True} if extensible else {})


def shaped(properties: dict[str, Schema], needed: tuple[str, ...] | None = None) -> Schema:
    """An object with these members and no others; every one is needed unless some are named."""
    required = list(properties) if needed is None else list(needed)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def array(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def ref(name: str) -> Schema:
    """One of ``SCHEMAS``."""
    return {"$ref": f"#/components/schemas/{name}"}


FAULT = shape(field=TEXT | {"description": "null: the whole body."}, code={"type": "string"}, message={"type": "string"})
PROBLEM = shape(
    needed=("type", "title", "status", "detail"),
    type={"type": "string"},
    title={"type": "string"},
    status={"type": "integer", "minimum": 400, "maximum": 599},
    detail={"type": "string"},
    errors=array(FAULT),
)
MEMBER = shape(userId=ID, role={"type": "string"})
TASK = shape(
    extensible=True,
    taskId=ID,
    title=TEXT,
    description=TEXT,
    completed={"type": ["boolean", "null"]},
    priority={"type": ["string", "number", "null"]},
    due=TEXT,
    creatorId={"type": ["integer", "null"]},
    assigneeId={"type": ["integer", "null"]},
    createdAt=TEXT,
    updatedAt=TEXT,
)
TEAM = shape(teamId=ID, name=TEXT, description=TEXT, ownerId={"type": ["integer", "null"]}, updatedAt=TEXT)
SNAPSHOT = shape(
    needed=("type", "teamId", "position", "part", "parts", "team", "tasks"),
    type={"const": "snapshot"},
    teamId=ID,
    position=POSITION,
    part={"const": 1},
    parts={"const": 1},
    team=ref("Team"),
    members=array(ref("Member")),
    membersTotal=COUNT | {"description": "In place of members, where there are more than 5,000."},
    tasks=array(ref("Task")),
)
USER = shape(
    userId=ID,
    username=TEXT,
    email=TEXT,
    teams=array(shape(teamId=ID, role={"type": "string"})),
    tasks=array(ref("Task")),
    position=POSITION,
)
ROW = shape(key={"type": "string"}, value={"type": "object"}, partition=COUNT, worker={"type": "string"})
WRITTEN = shape(
    topic={"enum": list(SOURCE_TOPICS)},
    partition=COUNT,
    offset=COUNT,
    eventId={"type": "string", "description": "The id that every client will see."},
)

SILENT = array({"type": "string"}) | {"description": "Workers that did not answer; missing when all did."}
GROUP = shape(
    group={"type": "string"},
    members=COUNT,
    partitions=array(
        shape(
            topic={"type": "string"},
            partition=COUNT,
            committed={"type": ["integer", "null"], "minimum": 0},
            end=COUNT,
            lag=COUNT,
            seconds={
                "type": ["number", "null"],
                "minimum": 0,
                "description": "Age of the oldest unread record; null where it is not known.",
            },
        )
    ),
)
WORKER = shape(url={"type": "string"}, version={"type": "string"}, partitions=array(COUNT), standbys=array(COUNT))
USER_NAMED = shape(extensible=True, userId=ID)
"""What /api/admin/disconnect takes."""

BYTES: Schema = {"type": ["string", "null"], "contentEncoding": "base64", "description": "null where there is none."}
REPLAY = shape(
    needed=(),
    extensible=True,
    value=TEXT | {"description": "In place of the record's own value."},
    plain={"type": "boolean", "description": "Leave out the CloudEvents headers: the value is the event itself."},
    check={"type": "boolean", "description": "false: send even what would be a dead letter again."},
)
DISCARD = shape(needed=(), extensible=True, reason=TEXT | {"maxLength": 500})
STEP: dict[str, Schema] = {
    "action": {"enum": ["replayed", "discarded"]},
    "at": {"type": "string"},
    "topic": TEXT,
    "partition": {"type": ["integer", "null"]},
    "offset": {"type": ["integer", "null"]},
    "eventId": TEXT,
    "edited": {"type": "boolean"},
    "reason": TEXT,
}
DONE = shaped({"letter": {"type": "string"}, **STEP}, needed=("letter", "action", "at"))
LETTER: dict[str, Schema] = {
    "letter": {"type": "string"},
    "place": {"type": "string"},
    "code": {"type": "string"},
    "error": {"type": "string"},
    "topic": {"type": "string"},
    "partition": {"type": "integer"},
    "offset": {"type": "integer"},
    "failedAt": {"type": "string"},
    "writtenAt": TEXT,
    "bytes": {"type": ["integer", "null"]},
    "valueWithheld": {"type": "boolean"},
    "repeats": COUNT,
    "status": {"enum": ["open", "replayed", "discarded"]},
    "steps": array(shaped(STEP, needed=("action", "at"))),
}
SEEN: Schema = {
    "type": "object",
    "description": "What people see: by `team`, `member/7`, `task/1001` or `user`; null: gone.",
    "additionalProperties": {"type": ["object", "null"]},
}

SCHEMAS: dict[str, Schema] = {
    "Problem": PROBLEM,
    "Member": MEMBER,
    "Task": TASK,
    "Team": TEAM,
    "Snapshot": SNAPSHOT,
    "Members": shape(members=array(ref("Member")), cursor=TEXT),
    "User": USER,
    "Tables": shape(tables=array(shape(name={"enum": list(TABLES)}, rows=COUNT))),
    "Row": ROW,
    "Rows": shape(rows=array(ref("Row")), cursor=TEXT),
    "Written": WRITTEN,
    "Lag": shape(
        needed=("groups", "teams"),
        groups=array(GROUP),
        teams=array(shape(teamId=ID, position=TEXT, ageSeconds={"type": "number", "minimum": 0})),
        unreachable=SILENT,
    ),
    "Flow": shape(
        needed=("seconds", "topics", "delivery", "teams"),
        seconds=AMOUNT | {"description": "What rates are the mean of."},
        topics=array(
            shape(
                topic={"type": "string"},
                perSecond=MAYBE_AMOUNT | {"description": "Source records read; null for team.events, which comes of them."},
                deadLettersPerSecond=AMOUNT,
                retentionSeconds=MAYBE_AMOUNT | {"description": "null: records are kept for ever, or there is no such topic."},
                headroomSeconds={
                    "type": ["number", "null"],
                    "description": "Time until unread records may expire, below 0 when they may have; null where it is not known.",
                },
            )
        ),
        delivery=shape(perSecond=AMOUNT, p50=MAYBE_AMOUNT, p99=MAYBE_AMOUNT)
        | {"description": "From the source record's time to the write to a socket, seconds; null where nothing was delivered."},
        teams=array(shape(teamId=ID, perSecond=AMOUNT)) | {"description": "Those with most events of the last minute."},
        unreachable=SILENT,
    ),
    "History": shape(
        key={"type": "string"},
        partition=COUNT,
        fromOffset=COUNT,
        toOffset=COUNT,
        whole={"type": "boolean", "description": "Whether the log was read from its very first record on."},
        total=COUNT,
        skipped=COUNT,
        begin=SEEN,
        events=array(
            shape(
                offset=COUNT,
                position=POSITION,
                writtenAt=TEXT,
                timestamp={"type": "string"},
                type={"type": "string"},
                eventId={"type": "string"},
                actorId={"type": ["integer", "null"]},
                source={"type": "string"},
                repeat={"type": "boolean"},
                data={"type": "object"},
                changes=SEEN,
            )
        ),
    ),
    "Letters": shape(
        counts=array(
            shape(
                topic={"type": "string"},
                code={"type": "string"},
                letters=COUNT,
                open=COUNT,
                replayed=COUNT,
                discarded=COUNT,
                repeats=COUNT,
                first=TEXT,
                last=TEXT,
            )
        ),
        letters=array(shaped(LETTER)),
        listed=COUNT,
        found=COUNT,
        recordsRead=COUNT,
        recordsNotRead=COUNT,
        foreignRecords=COUNT,
    ),
    "Letter": shaped(LETTER | {"key": BYTES, "headers": array(shape(name={"type": "string"}, value=BYTES)), "value": BYTES}),
    "Replayed": DONE,
    "Discarded": DONE,
    "Connections": shape(
        needed=("workers", "teams"),
        workers=array(shape(worker={"type": "string"}, connections=COUNT)),
        teams=array(shape(teamId=ID, connections=COUNT)),
        unreachable=SILENT,
    ),
    "Cluster": shape(needed=("workers",), workers=array(WORKER), unreachable=SILENT),
    "Disconnected": shape(needed=("closed",), closed=COUNT, unreachable=SILENT),
    "Alive": shape(status={"const": "ok"}),
    "Readiness": shape(
        needed=("status",), status={"enum": ["ready", "not ready"]}, reasons=array({"type": "string"}), warnings=array({"type": "string"})
    ),
}
"""Every schema that answers have."""


def _payload(**known: Schema) -> Schema:
    more = f"Up to {MAX_UNKNOWN_MEMBERS} unknown members, of any JSON, are kept and passed on."
    return {"type": ["object", "null"], "properties": known, "description": more}


def body_of(topic: str) -> Schema:
    """What a source topic takes. Unknown members beside the payload are ignored.

    JSON Schema cannot say everything: ids are written without a fraction (``42.0`` is none), integers fit into 64 bits, a role is
    printable, and the days of a month and offsets are RFC 3339's.
    """
    common: dict[str, Schema] = {
        "eventType": {"enum": [topic, None]},
        "eventId": {"type": ["string", "null"], "pattern": PRINTABLE_ASCII, "minLength": 1, "maxLength": MAX_EVENT_ID_LENGTH},
        "timestamp": {
            "type": ["string", "null"],
            "pattern": TIMESTAMP,
            "description": "RFC 3339; the record's own time where there is none.",
        },
    }
    if topic in TASK_TOPICS:
        ids: dict[str, Schema] = {"taskId": ID, "teamId": MAYBE_ID, "actorId": ID, "creatorId": MAYBE_ID, "assigneeId": MAYBE_ID}
        payload = _payload(
            title=TEXT, description=TEXT, completed={"type": "boolean"}, priority={"type": ["string", "number", "null"]}, due=TEXT
        )
        whose = [{"required": [name], "properties": {name: ID}} for name in ("teamId", "creatorId")]
        return _object(common | ids | {"payload": payload}, "taskId", "actorId") | {"anyOf": whose}
    if topic in TEAM_TOPICS:
        ids = {"teamId": ID, "actorId": ID, "ownerId": MAYBE_ID}
        return _object(common | ids | {"payload": _payload(name=TEXT, description=TEXT)}, "teamId", "actorId")
    if topic in MEMBER_TOPICS:
        given = topic == "team.member_role_updated"
        role: Schema = {"type": "string" if given else ["string", "null"], "minLength": 1, "maxLength": MAX_ROLE_LENGTH}
        members = common | {"teamId": ID, "userId": ID, "actorId": ID, "role": role, "payload": _payload()}
        return _object(members, "teamId", "userId", "actorId", *(("role",) if given else ()))
    email: Schema = {"type": ["string", "null"], "pattern": EMAIL, "maxLength": MAX_EMAIL_LENGTH}
    return _object(common | {"userId": ID, "payload": _payload(username=TEXT, email=email)}, "userId")


def _object(properties: dict[str, Schema], *needed: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(needed)}
