"""Events as log lines."""

from __future__ import annotations

import logging

from role_doubles import facts

from quictunnel.events import GrantedService, InternalErrorOccurred, ServicesGranted
from quictunnel.observe.event_log import EventLog

LOGGER = logging.getLogger("quictunnel.origin")


def test_a_tuple_is_logged_as_the_text_of_its_members(caplog):
    caplog.set_level(logging.INFO, logger=LOGGER.name)
    services = (GrantedService("web", "198.51.100.1:80"), GrantedService("ssh", None))
    EventLog(LOGGER)(ServicesGranted("192.0.2.1:9001", services, is_first=True))
    assert facts(caplog, "services granted") == [
        {"remote": "192.0.2.1:9001", "services": "web=198.51.100.1:80,ssh", "is_first": True}
    ]


def test_a_bug_is_logged_with_its_traceback(caplog):
    EventLog(LOGGER)(InternalErrorOccurred("testing", KeyError("a bug"), id=None))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert isinstance(record.exc_info[1], KeyError)
    assert facts(caplog, "internal error") == [{"activity": "testing", "id": None}]
