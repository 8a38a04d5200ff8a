"""Who may send to which source, from a TOML file. Secrets are in no log, no error and no ``repr``.

A secret is replaced without a gap: name the new one beside the old one, restart, change the sender, take the old out.
"""

import base64
import binascii
import hmac
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from streams.gateway.problems import ProblemError

Kind = Literal["hmac", "bearer", "basic"]


class CredentialsError(Exception):
    """The file of credentials cannot be used; the message has file, place and reason, and no secret."""

    exit_code = 78


class Credential(BaseModel):
    """What one sender proves itself with.

    ``kind``: hmac (a webhook's signature), bearer (a token) or basic (``user`` and password). ``secrets``: any of them
    is valid; two while one replaces the other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    source: str
    kind: Kind
    user: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    secrets: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=16, max_length=256)], ...], Field(min_length=1, max_length=2)
    ]

    @model_validator(mode="after")
    def _has_its_user(self) -> Self:
        if (self.kind == "basic") != (self.user is not None):
            raise ValueError("user: belongs to kind basic, and must be there")
        return self

    def proves(self, kind: Kind, user: str | None, secret: bytes) -> bool:
        """Say whether it is this one; takes as long whether it is or not."""
        matches = [hmac.compare_digest(own.get_secret_value().encode(), secret) for own in self.secrets]
        return any(matches) and self.kind == kind and self.user == user


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    credential: Annotated[tuple[Credential, ...], Field(min_length=1)]


class Credentials:
    """All credentials. Called for every request."""

    def __init__(self, some: Iterable[Credential]) -> None:
        """Take them."""
        self._all = tuple(some)

    @property
    def sources(self) -> set[str]:
        """The sources that somebody may send to."""
        return {credential.source for credential in self._all}

    def signers(self, source: str) -> list[tuple[Credential, bytes]]:
        """Return every secret by which a source's webhooks may be signed, and whose it is."""
        return [
            (credential, secret.get_secret_value().encode())
            for credential in self._all
            if credential.kind == "hmac" and credential.source == source
            for secret in credential.secrets
        ]

    def of(self, authorization: str | None) -> Credential:
        """Return the credential that an ``Authorization`` header proves.

        Raises:
            ProblemError: 401, it proves none.
        """
        kind, user, secret = _parts(authorization or "")
        found = None
        for credential in self._all:  # all of them, so that the time tells nothing
            if kind is not None and credential.proves(kind, user, secret):
                found = credential
        if found is None:
            raise ProblemError(
                401,
                "a Bearer token or a Basic user and password of a source is needed",
                "header Authorization",
                {"WWW-Authenticate": 'Bearer realm="leap", Basic realm="leap"'},
            )
        return found


def _parts(authorization: str) -> tuple[Kind | None, str | None, bytes]:
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return "bearer", None, rest.strip().encode()
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None, None, b""
        return ("basic", user, password.encode()) if colon else (None, None, b"")
    return None, None, b""


def read(file: Path, sources: Iterable[str]) -> Credentials:
    """Read the credentials from the file that LEAP_GATEWAY_CREDENTIALS names; ``sources``: those that there are.

    Raises:
        CredentialsError: the file cannot be used.
    """
    try:
        found = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise CredentialsError(f"LEAP_GATEWAY_CREDENTIALS: {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise CredentialsError(f"LEAP_GATEWAY_CREDENTIALS: {file}: {_place(first['loc'])}: {first['msg']}") from None
    except ValueError as error:  # TOML, UTF-8
        # Its message may quote what stands there, and secrets stand there.
        place = str(error).rpartition(" (")[2].rstrip(")") if "(at " in str(error) else "somewhere"
        raise CredentialsError(f"LEAP_GATEWAY_CREDENTIALS: {file}: no TOML {place}") from None
    known = set(sources)
    for number, credential in enumerate(found.credential, 1):
        if credential.source not in known:
            where = f"LEAP_GATEWAY_CREDENTIALS: {file}: credential {number}: source"
            raise CredentialsError(f"{where}: not in LEAP_SOURCES, which has {', '.join(sorted(known))}")
    return Credentials(found.credential)


def _place(location: tuple[int | str, ...]) -> str:
    """Return the place of an error; only our own names, as a secret may stand where a name should."""
    names = [str(part) for part in location if part in {"source", "kind", "user", "secrets"}]
    number = next((part + 1 for part in location if isinstance(part, int)), None)
    return ": ".join([f"credential {number}" if number else "[[credential]]", *names])
