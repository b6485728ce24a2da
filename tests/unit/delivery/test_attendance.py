"""Attendance: users and not tabs, and no reload is a going."""

from __future__ import annotations

import pytest

from delivery.attendance import LINGER_SECONDS, Attendance


@pytest.fixture
def attendance() -> Attendance:
    return Attendance()


def test_a_user_comes_with_the_first_connection_and_goes_with_the_last(attendance: Attendance) -> None:
    attendance.enter(7)
    attendance.enter(7)
    assert attendance.settle(0) == ([7], [])
    attendance.leave(7, 1)
    assert attendance.settle(100) == ([], []), "one of two tabs"
    attendance.leave(7, 100)
    assert attendance.settle(100 + LINGER_SECONDS) == ([], [7])
    assert len(attendance) == 0


def test_who_reloads_the_page_never_went(attendance: Attendance) -> None:
    attendance.enter(7)
    attendance.settle(0)
    attendance.leave(7, 10)
    assert attendance.settle(10 + LINGER_SECONDS / 2) == ([], [])
    attendance.enter(7)
    assert attendance.settle(100) == ([], [])


def test_who_comes_for_a_moment_came_and_goes_later(attendance: Attendance) -> None:
    attendance.enter(7)
    attendance.leave(7, 0)
    assert attendance.settle(0) == ([7], [])
    assert attendance.settle(LINGER_SECONDS) == ([], [7])


def test_users_go_in_the_order_in_which_they_left(attendance: Attendance) -> None:
    for user_id in (7, 8, 9):
        attendance.enter(user_id)
    attendance.settle(0)
    attendance.leave(8, 1)
    attendance.leave(7, 2)
    assert attendance.settle(1 + LINGER_SECONDS) == ([], [8])
    assert attendance.settle(2 + LINGER_SECONDS) == ([], [7])
    assert len(attendance) == 1
