"""Why a record cannot be used, in words that never quote it: a record may hold what nobody but its reader may see."""

import msgspec
from pydantic import ValidationError


def why(error: ValidationError | msgspec.DecodeError) -> str:
    """Return the place in the record and the reason, without the record's values or names of its own."""
    if isinstance(error, ValidationError):
        return _pydantic(error)
    if isinstance(error, msgspec.ValidationError):
        return _msgspec(str(error))
    return f"not a record: {error}"


def _pydantic(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = list(first["loc"])
    if first["type"] == "extra_forbidden":
        # The name is the record's, and may be anything.
        place[-1:] = ["(a field that is not in the schema)"]
    # An error that one of our own rules raised may name values.
    message = "breaks a rule" if first["type"] == "value_error" else first["msg"]
    return ": ".join([*([".".join(map(str, place))] if place else []), message])


def _msgspec(text: str) -> str:
    if text.startswith("Invalid ") and "'" in text:
        what, _, rest = text.partition(" '")
        return what + _place(rest)
    return text


def _place(text: str) -> str:
    _, found, place = text.rpartition(" - at `")
    return f"{found}{place}" if found else ""
