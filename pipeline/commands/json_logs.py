"""Logs for collectors: one line of JSON per event.

{"time": "2026-11-28T06:30:00.123456+00:00", "severity": "INFO", "logger": ..., "message": ...},
with "exception" where there was one.
"""

from __future__ import annotations

import datetime
import json
import logging


class JsonLines(logging.Formatter):
    """A record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line = {
            "time": when.isoformat(timespec="microseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up() -> None:
    """After commands.verb.set_up_logs: every handler of the root logger writes JSON lines."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
