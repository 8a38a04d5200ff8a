r"""Moodle as a source: logins, use of a course, use of the app.

It takes rows of the standard log, xAPI statements and Caliper events (:mod:`streams.sources.moodle_acts`), and rows of
the report (:mod:`streams.sources.moodle_report`). What came by the web services is ``moodle_mobile`` and nothing else:
no act counts twice. Submissions to assignments belong to the source ``faser``; opening an assignment is a view.
"""

import re

from schemas.activities import Activity
from streams.sources import Adapter, NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.moodle_acts import ANOTHER, COURSE_VIEWED, LOGGED_IN, Act, Said, from_caliper, from_json
from streams.sources.moodle_report import from_report
from streams.sources.reading import json_object

# Not `reviewed`: of that, a plugin names the student whose attempt staff looked at.
_VIEW = re.compile(r"\\mod_(?!assign\\)\w+\\event\\(\w+_)?viewed|\\\w+\\event\\course_module_(instance_list_)?viewed")
_ASSIGNMENT = re.compile(r"\\(mod_assign|assignsubmission_\w+|assignfeedback_\w+)\\event\\.*")
_WEB_SERVICES = r"\core\event\webservice_"
_OUTSIDE = NotForUs("outside of a course")


def adapter(options: Options) -> Adapter:
    """Return the adapter for an institution: its report's times are local, in a form of its own."""

    def read(raw: bytes) -> Outcome:
        act = _said(raw, options)
        if not isinstance(act, Act):
            return act
        activity = _activity(act)
        return activity if isinstance(activity, NotForUs) else Seen(act.user, activity, act.at, act.event)

    return read


def _said(raw: bytes, options: Options) -> Said:
    if not raw.lstrip().startswith((b"{", b"[")):
        return from_report(raw, options)
    body = json_object(raw)
    if isinstance(body, Unusable):
        return body
    return from_caliper(body) if "actor" in body and "verb" not in body else from_json(body)


def _activity(act: Act) -> Activity | NotForUs:
    is_view = act.name == COURSE_VIEWED or _VIEW.fullmatch(act.name) is not None
    if not is_view and _ASSIGNMENT.fullmatch(act.name):
        return ANOTHER
    if act.mobile:
        # One is written for every call of the app, also of one that nobody looks at.
        return ANOTHER if act.name.startswith(_WEB_SERVICES) else "moodle_mobile"
    if act.name == LOGGED_IN:
        return "moodle_login"
    if not is_view:
        return ANOTHER
    return _OUTSIDE if act.course is not None and act.course <= 1 else "moodle_course"
