"""A feed's state as the messages of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from delivery.feed import Feed
from web.sockets.messages import team_snapshot, user_snapshot


def encode_snapshot(feed: Feed) -> Sequence[bytes]:
    """The messages of a snapshot of the feed as it is now."""
    view = feed.view
    if view.team_id is not None:
        return team_snapshot(view.team_id, feed.position, view.team(), view.members(), view.tasks())
    return user_snapshot(view.user_id or 0, feed.position, view.user(), view.tasks())
