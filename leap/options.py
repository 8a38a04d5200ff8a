"""The options that commands share: where Kafka and Redis are. All else comes from the environment."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from leap.errors import CONFIG, CommandError
from streams.settings import SECRETS, Settings, variable

_WHERE = Group("Where", help="Default: the settings (LEAP_... in the environment, or a file named by LEAP_ENV_FILE).")


@Parameter(name="*", group=_WHERE)
@dataclass(frozen=True)
class Where:
    """Which installation a command works on."""

    kafka: Annotated[str | None, Parameter(help="Bootstrap servers of Kafka, comma-separated (LEAP_KAFKA).")] = None
    redis: Annotated[str | None, Parameter(help="URL of Redis or Valkey (LEAP_REDIS).")] = None
    prefix: Annotated[str | None, Parameter(help="What every topic and group begins with (LEAP_PREFIX).")] = None
    profile: Annotated[
        Literal["apache", "embedded"] | None, Parameter(help="Which kind of broker it is (LEAP_PROFILE).")
    ] = None

    def settings(self, **more: Any) -> Settings:
        """Return the settings, with what was given on the command line in place of them."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return load_settings(**given, **more)


def load_settings(**given: Any) -> Settings:
    """Return the settings, with some of them given.

    Raises:
        CommandError: one cannot be used; the message names it and says why.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        raise CommandError("\n".join(map(_line, error.errors(include_input=False))), CONFIG) from error
    except SettingsError as error:
        raise CommandError(f"settings: {error}", CONFIG) from error


def _line(error: Any) -> str:
    """Return one of pydantic's errors as a line. One about several settings names them itself."""
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{variable('.'.join(map(str, error['loc'])))}: {text}" if error["loc"] else text


def as_environment(settings: Settings) -> dict[str, str]:
    """Return what a child process needs in its environment to have these very settings.

    An empty variable is one that is not set, also where our own environment has it.
    """
    environment = {"LEAP_ENV_FILE": ""}  # what it says is among the settings, unless something else went before it
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is None or (name in SECRETS and getattr(settings, f"{name}_file") is not None):
            value = ""  # a secret that stands in a file stays there
        elif isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, tuple):
            value = "[" + ",".join(f'"{item}"' for item in value) + "]"
        environment[variable(name)] = str(value)
    return environment
