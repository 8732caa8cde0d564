"""Cron lines, judged as Dagster judges them, which runs them."""

from __future__ import annotations

import pytest

from convoy.pipeline.cron import is_cron

GOOD = (
    *("0 3 * * *", "*/5 * * * *", "0 0 1 jan mon-fri", "0 3 * * MON", "* * * * 7", "5/10 * * * *"),
    *("1,2,30 22-23 * * *", "0 0 * * fri-mon", "0 0 L * *", "0 22-2 * * *", "0  3 * * *"),
    *("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"),
)
BAD = (
    *("", "daily", "@reboot", "3", "0 3 * *", "0 3 * * * *", "60 * * * *", "0 24 * * *"),
    *("0 0 0 * *", "0 0 1 13 *", "* * * * 8", "*/0 * * * *", "a * * * *", "1- * * * *"),
    *("*-5 * * * *", "0 0 * * day", "03:00 * * * *", "0 3 * * mon tue"),
)


@pytest.mark.parametrize("line", GOOD + BAD)
def test_as_dagster_has_it(line):
    from dagster._utils.schedules import is_valid_cron_schedule

    assert is_cron(line) == is_valid_cron_schedule(line) == (line in GOOD)
