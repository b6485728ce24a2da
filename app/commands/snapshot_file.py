"""A key's rows in a file: what a later ``verify`` starts from, once the log has forgotten the beginning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from app.domain.rows import Row, decode, encode
from app.errors import TeamcastError

FORMAT = 1


@dataclass(slots=True, frozen=True)
class Snapshot:
    """Rows of one key as the fold of every record up to an offset."""

    key: str
    log_id: str
    offset: int
    last_offset: int
    last_check: str
    exported_at: str
    rows: dict[str, Row]


def dump(snapshot: Snapshot) -> bytes:
    """The file's content."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "key": snapshot.key,
            "log": snapshot.log_id,
            "offset": snapshot.offset,
            "lastOffset": snapshot.last_offset,
            "lastCheck": snapshot.last_check,
            "exportedAt": snapshot.exported_at,
            "rows": {key: orjson.Fragment(encode(row)) for key, row in sorted(snapshot.rows.items())},
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def load(file: str) -> Snapshot:
    """Read a file back.

    Raises:
        TeamcastError: It is no snapshot, or one of another version.
        OSError: It cannot be read.
    """
    try:
        body = orjson.loads(Path(file).read_bytes())
        if body["format"] != FORMAT:
            raise TeamcastError(f"{file}: a snapshot of format {body['format']}, which this version does not read")
        rows = {str(key): decode(orjson.dumps(row)) for key, row in body["rows"].items()}
        return Snapshot(body["key"], body["log"], int(body["offset"]), int(body["lastOffset"]), body["lastCheck"], body["exportedAt"], rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TeamcastError(f"{file} is no snapshot: `export` writes one") from None
