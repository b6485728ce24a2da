"""A history's steps: what each event changed, and the state that the newest ones begin with."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.events import Source, UnifiedEvent, encode
from app.domain.unified import headers_for
from app.kafka.record import Record
from delivery.history import Seen, Steps, Told
from tables.refold import Rebuilt

TEAM = 42


class Log:
    """The events of one team, written one after the other."""

    def __init__(self, limit: int = 100) -> None:
        self.rebuilt = Rebuilt(f"team:{TEAM}", "0" * 16)
        self.steps = Steps(self.rebuilt, limit)
        self._offset = -1

    def write(self, kind: str, at: int, **data: Any) -> dict[str, Any]:
        """One event, of a second; what it changed."""
        self._offset += 1
        source = Source(kind, 0, self._offset, 1_795_428_000_000 + self._offset)
        event = UnifiedEvent(
            f"team:{TEAM}", f"{kind}-0-{self._offset}", kind, TEAM, 7, f"2026-11-23T10:00:{at:02d}.000000Z", {"teamId": TEAM, **data}
        )
        headers: Any = headers_for(source)
        record = Record("team.events", 0, self._offset, source.timestamp, 1, event.key.encode(), encode(event), headers)
        assert self.rebuilt.fold(record) is not None
        self.steps.add(Told(self._offset, "", source.timestamp, event, source, False))
        return dict(self.steps.kept[-1][1])


def replayed(steps: Steps) -> Seen:
    """The state that a page comes to that begins where the steps begin, and takes each change."""
    seen: dict[str, Any] = dict(orjson.loads(orjson.dumps(steps.begin)))
    for _told, changes in steps.kept:
        for name, after in changes.items():
            if after is None:
                seen.pop(name)
            else:
                seen[name] = after
    return seen


def whole(rebuilt: Rebuilt) -> Seen:
    """The same, folded at once."""
    state = rebuilt.state()
    team = {} if state["team"] is None else {"team": state["team"]}
    members = {f"member/{one['userId']}": one for one in state["members"]}
    return team | members | {f"task/{one['taskId']}": one for one in state["tasks"]}


def test_an_event_changes_what_it_names_and_nothing_else() -> None:
    log = Log()
    assert log.write("team.created", 1, ownerId=7, name="Ops").keys() == {"team", "member/7"}
    assert log.write("task.created", 2, taskId=1, creatorId=7, title="Old").keys() == {"task/1"}
    assert log.write("task.updated", 3, taskId=1, title="New")["task/1"]["title"] == "New"
    assert log.write("team.member_added", 4, userId=8, role="member") == {"member/8": {"userId": 8, "role": "member"}}
    assert log.write("team.member_removed", 5, userId=8) == {"member/8": None}
    assert log.write("task.deleted", 6, taskId=1) == {"task/1": None}


def test_an_event_that_is_outranked_changes_nothing() -> None:
    log = Log()
    log.write("task.created", 2, taskId=1, creatorId=7, title="Old")
    log.write("task.updated", 9, taskId=1, title="Newest")
    assert log.write("task.updated", 5, taskId=1, title="Late") == {}


def test_a_teams_deletion_takes_all_that_is_older_with_it() -> None:
    log = Log()
    log.write("team.created", 1, ownerId=7, name="Ops")
    log.write("task.created", 2, taskId=1, creatorId=7, title="Before")
    log.write("task.created", 9, taskId=2, creatorId=7, title="After")
    assert log.write("team.deleted", 5) == {"team": None, "member/7": None, "task/1": None}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_the_steps_come_to_the_state_that_all_events_come_to_however_few_are_kept(limit: int) -> None:
    log = Log(limit)
    log.write("team.created", 1, ownerId=7, name="Ops")
    log.write("team.member_added", 2, userId=8, role="member")
    log.write("task.created", 3, taskId=1, creatorId=7, title="One")
    log.write("team.deleted", 4)
    log.write("task.created", 6, taskId=2, creatorId=7, title="Two")
    log.write("team.created", 5, ownerId=9, name="Again")
    log.write("team.member_role_updated", 7, userId=9, role="chief")
    log.write("task.updated", 8, taskId=2, title="Three")

    assert len(log.steps.kept) == min(limit, 8)
    assert replayed(log.steps) == whole(log.rebuilt)
