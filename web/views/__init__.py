"""Faust web views, a file a subject."""

from __future__ import annotations

from web.views import admin, documents, events, flow, health, history, internal, lag, letters, metrics, tables, teams, users
from web.views.base import View

ALL: tuple[type[View], ...] = (
    *admin.VIEWS,
    *health.VIEWS,
    *metrics.VIEWS,
    *documents.VIEWS,
    *teams.VIEWS,
    *users.VIEWS,
    *tables.VIEWS,
    *lag.VIEWS,
    *flow.VIEWS,
    *history.VIEWS,
    *letters.VIEWS,
    *events.VIEWS,
    *internal.VIEWS,
)
"""Every view that the worker serves."""

__all__ = ["ALL", "View"]
