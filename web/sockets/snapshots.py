"""A feed's state as the messages of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.positions import position
from delivery.feed import Feed
from web.sockets.messages import team_snapshot, user_snapshot


def position_of(feed: Feed) -> str:
    """The position that the feed's state is at."""
    return position(feed.ring.log, feed.key, feed.head, ())


def encode_snapshot(feed: Feed) -> Sequence[bytes]:
    """The messages of a snapshot of the feed as it is now."""
    view = feed.view
    if view.team_id is not None:
        return team_snapshot(view.team_id, position_of(feed), view.team(), view.members(), view.tasks())
    return user_snapshot(view.user_id or 0, position_of(feed), view.user(), view.tasks())
