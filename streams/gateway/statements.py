"""The form of an xAPI statement (1.0.3, and 2.0, which is IEEE 9274.1.1): what a receiver has to refuse.

Checked is what those who read statements rely on: names at the top, actor, verb, object, times, ids, no null. The rest
is taken as it is, extensions whatever they are. A place names properties of the standard, never a name or value of the
statement's own.
"""

import re
from collections.abc import Mapping
from typing import Any

from streams.gateway.problems import ProblemError
from streams.sources import Unusable
from streams.sources.reading import instant

VERSIONS = {"1.0": "1.0.3", "2.0": "2.0.0"}
"""What we answer as our version, by how the sender's begins."""

_TOP = {"id", "actor", "verb", "object", "result", "context", "timestamp"}
_GIVEN = {"stored", "authority", "version", "attachments"}
_SUB = _TOP - {"id"} | {"objectType", "attachments"}
_IDENTIFIERS = ("mbox", "mbox_sha1sum", "openid", "account")
_INNER = {"display", "definition", "score", "contextActivities", "homePage", "name", "member", "objectType"}
_NAMES = {*_TOP, *_GIVEN, *_IDENTIFIERS, *_INNER}
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_MAILTO = re.compile(r"mailto:[^\s@]+@[^\s@]+")
_NO_OFFSET = re.compile(r".*-00(:?00)?")


def version(header: str | None) -> str:
    """Return the version to answer with.

    Raises:
        ProblemError: 400, the header is missing, or names a version that is not spoken here.
    """
    found = re.fullmatch(r"(1\.0|2\.0)(\.\d+)?", header or "", re.ASCII)
    if found is None:
        raise ProblemError(400, "1.0.x or 2.0.x is needed", "header X-Experience-API-Version")
    return VERSIONS[found[1]]


def is_uuid(value: Any) -> bool:
    """Say whether a value is a UUID in its usual form."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def check(statement: Mapping[str, Any], place: str) -> None:
    """Check a statement; ``place`` stands before each place in it.

    Raises:
        ProblemError: 400, with the first place that is wrong.
    """
    if not statement.keys() <= _TOP | _GIVEN:
        raise _wrong(place, "has a property that no statement has")
    _no_null(statement, place)
    if "id" in statement and not is_uuid(statement["id"]):
        raise _wrong(f"{place}id", "not a UUID")
    _core(statement, place)
    if "stored" in statement:
        _time(statement["stored"], f"{place}stored")
    if "authority" in statement:
        _actor(statement["authority"], f"{place}authority")
    if "version" in statement and not re.fullmatch(r"[12]\.0(\.\d+)?", str(statement["version"]), re.ASCII):
        raise _wrong(f"{place}version", "not a version of xAPI")
    if not isinstance(statement.get("attachments", []), list):
        raise _wrong(f"{place}attachments", "not a list")


def _core(statement: Mapping[str, Any], place: str) -> None:
    """Check what statements and sub-statements have in common."""
    for name in ("actor", "verb", "object"):
        if name not in statement:
            raise _wrong(f"{place}{name}", "is missing")
    _actor(statement["actor"], f"{place}actor")
    verb = _object(statement["verb"], f"{place}verb")
    _iri(verb.get("id"), f"{place}verb.id")
    _object(verb.get("display", {}), f"{place}verb.display")
    _thing(statement["object"], f"{place}object")
    if "timestamp" in statement:
        _time(statement["timestamp"], f"{place}timestamp")
    _result(_object(statement.get("result", {}), f"{place}result"), f"{place}result")
    context = _object(statement.get("context", {}), f"{place}context")
    if "registration" in context and not is_uuid(context["registration"]):
        raise _wrong(f"{place}context.registration", "not a UUID")
    _object(context.get("contextActivities", {}), f"{place}context.contextActivities")


def _actor(actor: Any, place: str) -> None:
    found = _object(actor, place)
    kind = found.get("objectType", "Agent")
    if kind not in ("Agent", "Group"):
        raise _wrong(f"{place}.objectType", "neither Agent nor Group")
    identifiers = [name for name in _IDENTIFIERS if name in found]
    if len(identifiers) > 1:
        raise _wrong(place, "identified in more than one way")
    members = found.get("member", [])
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise _wrong(f"{place}.member", "not a list of agents")
    if not identifiers:
        if kind == "Agent" or not members:
            raise _wrong(place, "has no mbox, mbox_sha1sum, openid or account")
        return
    _identifier(identifiers[0], found[identifiers[0]], f"{place}.{identifiers[0]}")


def _identifier(name: str, value: Any, place: str) -> None:
    if name == "account":
        account = _object(value, place)
        _iri(account.get("homePage"), f"{place}.homePage")
        if not isinstance(account.get("name"), str) or not account["name"]:
            raise _wrong(f"{place}.name", "not a name")
    elif name == "openid":
        _iri(value, place)
    else:
        form, said = (_MAILTO, "not mailto: and an address") if name == "mbox" else (_SHA1, "not a SHA-1 sum")
        if not isinstance(value, str) or not form.fullmatch(value):
            raise _wrong(place, said)


def _thing(thing: Any, place: str) -> None:
    found = _object(thing, place)
    match found.get("objectType", "Activity"):
        case "Activity":
            _iri(found.get("id"), f"{place}.id")
            _object(found.get("definition", {}), f"{place}.definition")
        case "Agent" | "Group":
            _actor(found, place)
        case "StatementRef":
            if not is_uuid(found.get("id")):
                raise _wrong(f"{place}.id", "not a UUID")
        case "SubStatement":
            if not found.keys() <= _SUB:
                raise _wrong(place, "has a property that no sub-statement has")
            if isinstance(found.get("object"), dict) and found["object"].get("objectType") == "SubStatement":
                raise _wrong(f"{place}.object", "a sub-statement in a sub-statement")
            _core(found, f"{place}.")
        case _:
            raise _wrong(f"{place}.objectType", "not a type of object")


def _result(result: Mapping[str, Any], place: str) -> None:
    for name in ("success", "completion"):
        if not isinstance(result.get(name, True), bool):
            raise _wrong(f"{place}.{name}", "neither true nor false")
    for name in ("response", "duration"):
        if not isinstance(result.get(name, ""), str):
            raise _wrong(f"{place}.{name}", "not a text")
    score = _object(result.get("score", {}), f"{place}.score")
    for name in ("scaled", "raw", "min", "max"):
        number = score.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _wrong(f"{place}.score.{name}", "not a number")
    if not -1 <= score.get("scaled", 0) <= 1:
        raise _wrong(f"{place}.score.scaled", "not from -1 to 1")


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(place, "not an object")
    return value


def _iri(value: Any, place: str) -> None:
    if not isinstance(value, str) or not _IRI.fullmatch(value):
        raise _wrong(place, "not an IRI")


def _time(value: Any, place: str) -> None:
    found = instant(value, place)
    if isinstance(found, Unusable):
        raise _wrong(place, found.reason.removeprefix(f"{place}: "))
    if _NO_OFFSET.fullmatch(value):
        raise _wrong(place, "-00:00 is no zone")


def _no_null(statement: Mapping[str, Any], place: str) -> None:
    """Refuse null everywhere but in extensions."""
    left: list[tuple[str, Any]] = [(place, statement)]
    while left:
        where, value = left.pop()
        if value is None:
            raise _wrong(where.rstrip("."), "null")
        if isinstance(value, dict):
            left += [
                (f"{where}{name if name in _NAMES else '*'}.", held)
                for name, held in value.items()
                if name != "extensions"
            ]
        elif isinstance(value, list):
            left += [(f"{where.rstrip('.')}[{number}].", held) for number, held in enumerate(value)]


def _wrong(place: str, reason: str) -> ProblemError:
    return ProblemError(400, reason, place.rstrip(".") or "statement")
