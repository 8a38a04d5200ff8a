"""The three ways in: vendors' bytes on the topics, HTTP to the gateway, files."""

import asyncio
import http.client
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from leap.commands.ingest import Report, messages, send_all
from leap.demo.sources.plan import SOURCES
from leap.demo.sources.planting import Form, Planted, Shipment
from leap.demo.sources.vendors import alma, moodle, ours, zoom
from leap.errors import SOFTWARE, CommandError
from streams.producer import Message, Producer
from streams.rows import Form as RowsForm
from streams.settings import Settings
from streams.sources.registry import installed

_ROWS: dict[Form, RowsForm] = {"tsv": "tsv", "csv": "csv", "jsonl": "json-lines", "json": "json"}
_TYPES: dict[Form, str] = {
    "tsv": "text/tab-separated-values",
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "json": "application/json",
}
_ANSWER = 30.0
_LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

Parcel = tuple[str, dict[str, str], bytes]
"""A request: path, headers, body."""


class Secrets(NamedTuple):
    """What senders prove themselves with, by source: webhooks' secrets, and tokens."""

    hmac: Mapping[str, str]
    bearer: Mapping[str, str]

    def file(self) -> str:
        """Return the gateway's file of credentials."""
        return "".join(
            f'[[credential]]\nsource = "{source}"\nkind = "{kind}"\nsecrets = ["{secret}"]\n'
            for kind, some in self._asdict().items()
            for source, secret in some.items()
        )


def new_secrets() -> Secrets:
    """Return secrets for everybody who sends over HTTP."""
    webhooks = {source: secrets.token_hex(16) for source in ("zoom", "library")}
    return Secrets(webhooks, {source: secrets.token_hex(16) for source in SOURCES})


class Ways:
    """Sends shipments; producer and gateway are started already."""

    def __init__(self, settings: Settings, producer: Producer, secret: Secrets, directory: Path) -> None:
        """Take what it works with; files are written to the directory."""
        self._settings = settings
        self._producer = producer
        self._secrets = secret
        self._directory = directory
        self._sent: Counter[str] = Counter()
        self.doubtful: list[tuple[Shipment, Planted, bytes]] = []
        """Records that were sent again because the gateway did not know whether they had arrived."""

    async def kafka(self, shipment: Shipment) -> None:
        """Write records to their topic, in turn to each partition."""
        topic = self._settings.topics.source(shipment.source).name
        by_partition: defaultdict[int, list[Message]] = defaultdict(list)
        for value in shipment.values:
            by_partition[self._sent[topic] % self._settings.source_partitions].append((None, value, []))
            self._sent[topic] += 1
        for number, some in by_partition.items():
            await self._producer.deliver(topic, number, some)

    async def files(self, shipment: Shipment) -> None:
        """Send a file as ``leap ingest`` does."""
        form = shipment.form or "jsonl"
        file = self._directory / f"simulated-{shipment.source}.{form}"
        file.write_bytes(shipment.file())
        report = Report(installed(self._settings)[shipment.source].read)
        await send_all(messages(file, _ROWS[form], report, lambda _: None), self._settings, shipment.source)

    async def gateway(self, shipments: Sequence[Shipment], tell: Callable[[int], object]) -> None:
        """Make requests one after the other, on a connection that is kept.

        Raises:
            CommandError: one was answered with a failure.
        """
        settings = self._settings
        there = http.client.HTTPConnection(settings.gateway_host, settings.gateway_port, timeout=_ANSWER)
        try:
            for shipment in shipments:
                while not await asyncio.to_thread(self._post, there, shipment):
                    pass
                tell(len(shipment.records))
        except (http.client.HTTPException, OSError) as error:
            raise CommandError(f"the gateway does not answer ({type(error).__name__})", SOFTWARE) from error
        finally:
            there.close()

    def _post(self, there: http.client.HTTPConnection, shipment: Shipment) -> bool:
        """Make a request; say whether it was taken. If it has to be made again, that is when it should be."""
        path, headers, body = self._parcel(shipment)
        there.request("POST", path, body, headers)
        answer = there.getresponse()
        said = answer.read()
        if answer.status in _LATER:
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                self.doubtful += [
                    (shipment, record, value) for record, value in zip(shipment.records, shipment.values, strict=True)
                ]
            time.sleep(float(answer.headers["Retry-After"] or 1))
            return False
        if answer.status >= HTTPStatus.BAD_REQUEST:
            msg = f"the gateway answered {answer.status} to {path} ({shipment.source}): {said.decode(errors='replace')}"
            raise CommandError(msg, SOFTWARE)
        return True

    def _parcel(self, shipment: Shipment) -> Parcel:
        """Return a shipment as a request."""
        json = {"Content-Type": "application/json"}
        token = {"Authorization": f"Bearer {self._secrets.bearer[shipment.source]}"}
        match shipment.way:
            case "webhook":
                return self._webhook(shipment, json)
            case "xapi":
                version = {"X-Experience-API-Version": "1.0.3"}
                return "/xapi/statements", json | token | version, b"[" + b",".join(shipment.values) + b"]"
            case "caliper":
                return "/caliper", json | token, moodle.envelope(list(shipment.values), time.time())
            case "events":
                return _cloudevents(shipment, token)
            case _:
                kind = {"Content-Type": _TYPES[shipment.form or "json"]}
                return f"/files/{shipment.source}", kind | token, shipment.file()

    def _webhook(self, shipment: Shipment, json: dict[str, str]) -> Parcel:
        body, secret = shipment.values[0], self._secrets.hmac[shipment.source]
        if shipment.source == "zoom":
            return "/webhooks/zoom", json | zoom.signed(secret, time.time(), body), body
        return "/webhooks/alma", json | alma.signed(secret, body), body


def _cloudevents(shipment: Shipment, token: dict[str, str]) -> Parcel:
    """Return events as CloudEvents: several as a batch, one in binary mode."""
    if len(shipment.values) == 1:
        named = {f"ce-{name}": value for name, value in ours.attributes(1).items()}
        return "/events", {"Content-Type": "application/json", **named, **token}, shipment.values[0]
    events = (ours.structured(number, value) for number, value in enumerate(shipment.values))
    headers = {"Content-Type": "application/cloudevents-batch+json", **token}
    return "/events", headers, b"[" + b",".join(events) + b"]"
