"""Documents made from the code: JSON Schemas of every record, and the pages of metrics, topics and settings."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from schemas import faser, identities, log, outputs, source, source_states, students, swipe
from schemas.cloudevents import TYPES
from schemas.topics import Topic, Topics
from streams import metrics
from streams.admin import partitions_of
from streams.embedded import DEVIATIONS
from streams.rights import rights, users
from streams.settings import Settings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[str, type[BaseModel]] = {
    "student": students.Student,
    "swipe": swipe.Swipe,
    "source-event": source.SourceEvent,
    "faser-event": faser.FaserEvent,
    "source-event-by-identity": source.PersonEvent,
    "day": outputs.Day,
    "late-activity": outputs.LateActivity,
    "closed-day": outputs.ClosedDay,
    "rating": outputs.Rating,
    "alert": outputs.Alert,
}
_STRUCTS: dict[str, type[msgspec.Struct]] = {
    "identity": identities.Terms,
    "source-state": source_states.SourceState,
    "log-activity": log.ActivityRecord,
    "log-retraction": log.Retraction,
    "log-student": log.StudentRecord,
    "log-day-closed": log.DayClosed,
    "log-feed-state": log.FeedState,
}
_NOTE = "<!-- Made by `leap schemas` from {place}; change it there. -->\n\n"


def documents() -> dict[Path, str]:
    """Return every generated document by its path in the project."""
    pages = {
        Path("docs/metrics.md"): _metrics(),
        Path("docs/topics.md"): _topics(),
        Path("docs/settings.md"): _settings(),
        Path("docs/embedded-broker.md"): _embedded_broker(),
        Path("docs/rights.md"): _rights(),
    }
    return {Path(f"schemas/json/{name}.json"): _text(schema) for name, schema in schemas()} | pages


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON Schema of every record that travels, by its name."""
    for name, model in _MODELS.items():
        yield name, _named(name, model.model_json_schema())
    for name, struct in _STRUCTS.items():
        schema = msgspec.json.schema(struct)
        if struct is log.StudentRecord:
            student = {"anyOf": [{"$ref": _id("student")}, {"type": "null"}]}
            schema["$defs"]["StudentRecord"]["properties"]["record"] = student
        yield name, _named(name, schema)


def _named(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": _id(name), **schema}


def _id(name: str) -> str:
    """Return a schema's name for ever; the version is that of the event type."""
    kind = "source" if name.startswith("source-event") else name.removeprefix("log-").removesuffix("-event")
    return f"urn:leap:schema:{name}:{TYPES[kind].rpartition('.')[2]}"


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _metrics() -> str:
    lines = [
        "# Metrics",
        "",
        "Every process answers `/metrics` in the Prometheus text format, `/live` and `/ready` on `LEAP_METRICS_PORT`.",
        "No label ever carries a student. What to alert on stands with each metric.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            about = next(iter(metric.describe()))
            name = about.name + ("_total" if isinstance(metric, Counter) else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            lines.append(f"| `{name}` | {about.type} | {labels} | {about.documentation} |")
    return _page(lines, "streams/metrics.py")


def _topics() -> str:
    settings = Settings.model_construct()
    lines = [
        "# Topics",
        "",
        "`leap topics create` makes them, every worker checks them at start. `leap` is the prefix (`LEAP_PREFIX`),",
        "and the numbers of partitions are the defaults of `LEAP_PARTITIONS` and `LEAP_SOURCE_PARTITIONS`.",
        "",
        "| topic | partitions | what is on it | settings |",
        "|---|---|---|---|",
    ]
    lines += [_topic(topic, partitions_of(topic, settings)) for topic in Topics()]
    return _page(lines, "schemas/topics.py")


def _topic(topic: Topic, partitions: int) -> str:
    configs = "<br>".join(f"`{key}={value}`" for key, value in topic.config.items())
    return f"| `{topic.name}` | {partitions} | {topic.description} | {configs} |"


def _settings() -> str:
    lines = [
        "# Settings",
        "",
        "From the environment, or from a file of `NAME=value` lines named by `LEAP_ENV_FILE`. Times are in seconds.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `LEAP_{name.upper()}` | {_default(field.default)} | {field.description} |")
    return _page(lines, "streams/settings.py")


def _embedded_broker() -> str:
    lines = [
        "# The embedded broker",
        "",
        "`leap demo` and `leap up` start a broker of one binary (`LEAP_PROFILE=embedded`). It keeps everything in",
        "memory, and is for one machine and for trying things: never for production. What our code needs of a broker",
        "works on it as on Apache Kafka, but for the following. The contract tests run on both, and fail when this",
        "list is not right.",
        "",
        "| what Apache Kafka does | what the embedded broker does | for us |",
        "|---|---|---|",
    ]
    for name, deviation in DEVIATIONS.items():
        lines.append(f"| {name.replace('_', ' ')} | {deviation.instead} | {deviation.for_us} |")
    return _page(lines, "streams/embedded.py")


def _rights() -> str:
    settings = Settings.model_construct()
    lines = [
        "# Rights in Kafka",
        "",
        "`leap acls apply` gives them, `leap acls check` compares: see [security.md](security.md). `leap` is the",
        "prefix (`LEAP_PREFIX`). Who may read or write may describe, too. Nobody may delete or alter anything.",
        "",
    ]
    everyone = rights(settings)
    for user, who in users(settings).items():
        lines += [f"## `{user}`", "", f"{who[0].upper()}{who[1:]}.", "", "| may | topics and groups |", "|---|---|"]
        what: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for right in sorted(everyone):
            if right.user == user:
                what[right.operation, right.resource].append(f"`{right.name}`")
        every = len(list(settings.topics))
        for (operation, resource), names in what.items():
            words = "every topic" if len(names) == every else f"{resource.lower()} " + ", ".join(names)
            lines.append(f"| {operation} | {words} |")
        lines.append("")
    return _page(lines[:-1], "streams/rights.py")


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, Path):
        return f"`{value.name}/`, as it comes"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _page(lines: list[str], place: str) -> str:
    return _NOTE.format(place=place) + "\n".join(lines) + "\n"
