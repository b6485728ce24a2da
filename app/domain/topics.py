"""The names of the topics that the pure core speaks of."""

from __future__ import annotations

TASK_TOPICS = ("task.created", "task.updated", "task.deleted", "task.completed")
TEAM_TOPICS = ("team.created", "team.updated", "team.deleted")
MEMBER_TOPICS = ("team.member_added", "team.member_removed", "team.member_role_updated")
USER_TOPICS = ("user.created",)
SOURCE_TOPICS = TASK_TOPICS + TEAM_TOPICS + MEMBER_TOPICS + USER_TOPICS
"""Every topic that producers write; the name of a topic is also the type of its events."""

UNIFIED = "team.events"
"""The unified stream: every event of every team, keyed by whom it reaches."""

REQUESTS = "notification.requests"
"""Who is to be mailed about which event, keyed by the recipient; the notification service reads it."""
ADDRESSES = "notification.addresses"
"""Where users get their mail: compacted, the newest address of every user."""
MAIL_DEAD_LETTERS = "notification.deadletter"
"""Mails that were given up."""

DEAD_LETTER_SUFFIX = ".deadletter"


def dead_letter_topic(topic: str) -> str:
    """Where records of ``topic`` go that are no valid events."""
    return topic + DEAD_LETTER_SUFFIX
