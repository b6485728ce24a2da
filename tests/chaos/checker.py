"""The checker: judges a round by what was observed, and by nothing that the service says of itself."""

from __future__ import annotations

from tests.chaos.check_plain import check_plain
from tests.chaos.check_rich import RichCheck
from tests.chaos.history import Evidence, Message
from tests.chaos.unified import Log, Stream, canonical, end_state, state_at
from tests.chaos.verdict import Verdict

WINDOW = 100_000
"""The service's DUPLICATE_WINDOW, as delivered."""


def check(evidence: Evidence, window: int = WINDOW) -> Verdict:
    """Judge a round."""
    verdict, log = Verdict(), Log(evidence.log, window)
    check_sources(evidence, log, verdict)
    ends = {key: end_state(stream) for key, stream in log.streams.items()}
    check_clients(evidence, log, verdict, ends)
    check_tables(evidence, log, verdict, ends)
    check_teams(evidence, log, verdict, ends)
    return verdict


def check_clients(evidence: Evidence, log: Log, verdict: Verdict, ends: dict[str, Message] | None = None) -> None:
    """Judge what each client got.

    Args:
        evidence: What was observed.
        log: The log that it is held against.
        verdict: Takes the findings.
        ends: The state at the end, by key; without it no state is looked at.
    """
    states: dict[tuple[str, int], str] = {}

    def snapshot_of(stream: Stream, count: int) -> str:
        if (stream.key, count) not in states:
            states[stream.key, count] = canonical(state_at(stream, count))
        return states[stream.key, count]

    for client in evidence.clients:
        if client.rich:
            RichCheck(client, log, verdict, snapshot_of if ends is not None else None).run(ends, complete=evidence.complete)
        else:
            check_plain(client, log, verdict, complete=evidence.complete)


def check_sources(evidence: Evidence, log: Log, verdict: Verdict) -> None:
    """Every source record is in the log or in a dead letter; those that were acknowledged are where they belong."""
    dead: dict[tuple[str, int, int], tuple[str, bytes | None, bytes | None]] = {}
    for letter in evidence.dead:
        found = dict(letter.headers)  # the last of a name: ours are appended behind whatever the record had
        place = found["source-topic"].decode(), int(found["source-partition"]), int(found["source-offset"])
        dead[place] = found["error-code"].decode(), letter.key, letter.value
        if place[0] == "team.events":
            verdict.add("source_lost", f"a unified record is dead-lettered: {place} {found['error-code']!r}")
    sources = {(record.topic, record.partition, record.offset): record for record in evidence.sources}
    for place, record in sources.items():
        if place not in log.came_of and place not in dead:
            verdict.add("source_lost", f"{place} of {record.timestamp} is neither in the log nor dead-lettered")
    for place, expected in evidence.acked.items():
        if place not in sources:
            verdict.add("source_lost", f"{place} was acknowledged and is not in its topic")
        elif expected.key is not None and place in log.came_of | dead:
            if log.came_of.get(place) != {expected.key} or place in dead:
                verdict.add("source_lost", f"{place} went to {log.came_of.get(place)} {dead.get(place)} and not to {expected.key}")
        elif expected.code is not None and place in log.came_of | dead:
            became = dead.get(place)
            if became != (expected.code, sources[place].key, sources[place].value):
                verdict.add("source_lost", f"{place} became {became} {log.came_of.get(place)} and not a dead letter {expected.code}")
    for what in log.unordered:
        verdict.add("misordered", f"in the log: {what}")


def check_tables(evidence: Evidence, log: Log, verdict: Verdict, ends: dict[str, Message]) -> None:
    """The rows that each worker shows are those of the fold."""
    wanted: dict[str, dict[str, Message]] = {"teams": {}, "members": {}, "tasks": {}, "users": {}}
    for key, state in ends.items():
        kind, _, number = key.partition(":")
        if kind == "team":
            if state["exists"]:
                wanted["teams"][number] = state["team"]
            wanted["members"] |= {f"{number}/{one['userId']}": {"teamId": int(number), **one} for one in state["members"]}
            wanted["tasks"] |= {f"{number}/{one['taskId']}": {"teamId": int(number), **one} for one in state["tasks"]}
        else:
            if any(event.event.type == "user.created" for event in log.stream(key).events):
                wanted["users"][number] = state["user"]
            wanted["tasks"] |= {f"{key}/{one['taskId']}": {"teamId": None, **one} for one in state["tasks"]}
    for worker, tables in evidence.tables.items():
        for name, rows in tables.items():
            shown = {row["key"]: canonical(row["value"]) for row in rows}
            if len(shown) != len(rows):
                verdict.add("wrong_state", f"{worker} shows rows of {name} twice", len(rows) - len(shown))
            for row_key in shown.keys() | wanted[name].keys():
                right = canonical(wanted[name][row_key]) if row_key in wanted[name] else None
                if shown.get(row_key) != right:
                    verdict.add("wrong_state", f"{worker} {name}/{row_key}: shown {shown.get(row_key)}, right {right}")


def check_teams(evidence: Evidence, log: Log, verdict: Verdict, ends: dict[str, Message]) -> None:
    """GET /api/teams/{id} of each worker is the state at the end."""
    for worker, teams in evidence.teams.items():
        for team_id, body in teams.items():
            end = ends.get(f"team:{team_id}")
            right = canonical({name: end[name] for name in ("team", "members", "tasks")}) if end is not None and end["exists"] else None
            shown = None if body is None else canonical({name: body[name] for name in ("team", "members", "tasks")})
            if shown != right:
                verdict.add("wrong_state", f"{worker} GET /api/teams/{team_id}: shown {shown}, right {right}")
