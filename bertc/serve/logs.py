"""The server's log: lines for people, or a JSON object a line."""

from __future__ import annotations

import json
import logging
import time

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """A JSON object: time, level, logger, message, and what the record has beside them."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        value = {
            "time": f"{when}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: item for name, item in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return json.dumps(value, default=str)


class LineFormatter(logging.Formatter):
    """The same in a line, name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        extra = [f"{name}={item}" for name, item in vars(record).items() if name not in _STANDARD]
        return " ".join([super().formatMessage(record), *extra])


def set_up(level: str, as_json: bool) -> None:
    """Sends the log of this server, and of uvicorn, to the standard error stream."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    for name in ("bertc", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper() if name == "bertc" else logging.WARNING)
