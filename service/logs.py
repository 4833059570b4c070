"""The log: one line a record on standard error, as text or as JSON, with the id of the request that it belongs to.

What records say beside their message comes by `extra` and has names of its own in both. No line holds anything that a
terminal would obey or that could pass for another line, wherever the text came from.
"""

from __future__ import annotations

import json
import logging
import logging.config
import re
import time
from contextvars import ContextVar
from typing import Any, Literal

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
# What every record has; the rest was given as `extra`.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message", "request_id"}
_CONTROL = re.compile(r"[^\n\x20-\x7e\xa0-\U0010ffff]|[\u2028\u2029\ud800-\udfff]")


def configure(form: Literal["text", "json"]) -> None:
    """Sends every record of this process to standard error, our own from INFO on and others' from WARNING on."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": {"text": TextLine, "json": JSONLine}[form]}},
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}
            },
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {name: {"level": "INFO"} for name in ("service", "correction", "uvicorn")},
        }
    )
    logging.captureWarnings(True)


def adopt(*libraries: str) -> None:
    """From now on lines of these libraries, which write them in a form of their own, are like ours."""
    for name in libraries:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True


class JSONLine(logging.Formatter):
    """An object a record: time, level, logger, message, pid, the request's id, what was given as `extra`, exception."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
            **_extra(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class TextLine(logging.Formatter):
    """Time, level, logger and message, then `name=value`; an exception follows in lines that are indented."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().replace("\n", "\\n")
        given = "".join(f" {name}={json.dumps(value, default=str)}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {message}{given}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], line.replace("\n", "\n  "))


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    asked = getattr(record, "request_id", None) or request_id.get()
    given = {name: value for name, value in vars(record).items() if name not in _USUAL}
    return {"request_id": asked, **given} if asked else given
