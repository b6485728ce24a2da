"""What can go wrong, as a tree: the type says what the one who catches it does."""

from __future__ import annotations

# ruff: noqa: N818  (what each says is what happened, and what to do about it; "Error" adds nothing to that)


class TeamcastError(Exception):
    """Root of everything that this project raises on purpose."""


class StartRefused(TeamcastError):
    """The start stops here: one line for the operator, exit code 2."""

    exit_code = 2


class BrokersAway(StartRefused):
    """The brokers do not answer, or not in time: nothing to be set right here, so a supervisor tries again."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


class SendFailed(TeamcastError):
    """The broker did not acknowledge a record: stop the worker, nothing was committed, the restart reads it again."""


class BatchLost(TeamcastError):
    """A batch was fetched and never reached its agent: stop the worker, nothing behind it was committed."""


class Unavailable(TeamcastError):
    """An owner, the log or a peer is out of reach for now: tell the client to come back (503, close code 4006)."""


class Moved(Unavailable):
    """This worker does not own the partition (any more): ask again, elsewhere."""
