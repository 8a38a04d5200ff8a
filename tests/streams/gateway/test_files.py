"""A file's rows become records with their header line, whatever the pieces in which it comes; each other row is named."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from schemas.rows import ORDINAL
from streams.producer import DeliveryError
from tests.streams.gateway.conftest import Kafka, bearer
from tests.streams.gateway.test_events import DATA

ATTENDANCE = (Path(__file__).parents[2] / "data" / "jisc" / "attendance.tsv").read_bytes()
HEADER = b"STUDENT_ID\tEVENT\tTIME"
ROWS = [b"1\ta\t2026", b'2\t"two\nlines"\t2026', b"1\ta\t2026", b'3\t5" disk\t2026']
FILE = b"\r\n".join([HEADER, *ROWS, b"", b""])
KIND = {"Content-Type": "text/tab-separated-values"}


async def test_each_row_becomes_a_record_with_its_header_and_its_ordinal(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    answer = await client.post("/files/taps", content=FILE, headers=bearer("taps") | KIND)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"source": "taps", "accepted": 4, "rejected": 0, "reasons": [], "warnings": []}
    records = kafka_of_the_gateway.records["leap.source.taps"]
    assert [value for _, value, _ in records] == [HEADER + b"\n" + row for row in ROWS]
    assert [dict(headers)[ORDINAL] for _, _, headers in records] == [b"0", b"0", b"1", b"0"]


async def test_a_file_that_comes_byte_by_byte_is_the_same_file(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    async def bytes_of_it() -> AsyncIterator[bytes]:
        for byte in FILE:
            yield bytes([byte])

    await client.post("/files/taps", content=bytes_of_it(), headers=bearer("taps") | KIND)

    assert kafka_of_the_gateway.values("taps") == [HEADER + b"\n" + row for row in ROWS]


async def test_a_row_that_its_source_cannot_use_is_named_and_stored_for_the_dead_letters(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    """Ten of these 25 rows have impossible dates, as their hub published them."""
    answer = await client.post("/files/tap-ins", content=ATTENDANCE, headers=bearer("tap-ins") | KIND)

    report = answer.json()
    assert (answer.status_code, report["accepted"], report["rejected"]) == (200, 15, 10)
    wrong = [row["line"] for row in report["reasons"]]
    lines = ATTENDANCE.splitlines()
    assert wrong == sorted(set(wrong))
    assert all(re.match(r"START_TIME: ", row["reason"]) for row in report["reasons"])
    (warning,) = report["warnings"]
    assert warning.startswith("10 rows have dates that cannot be; the others may have day and month exchanged")
    assert kafka_of_the_gateway.values("tap-ins") == [lines[0] + b"\n" + line for line in lines[1:]]


async def test_a_quote_that_does_not_end_is_named_and_costs_its_line_only(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    file, kind = b'a,b\n1,"open\n2,x\n', {"Content-Type": "text/csv"}

    answer = await client.post("/files/taps", content=file, headers=bearer("taps") | kind)

    assert (answer.json()["accepted"], [row["line"] for row in answer.json()["reasons"]]) == (1, [2])
    assert kafka_of_the_gateway.values("taps") == [b'a,b\n1,"open', b"a,b\n2,x"]


async def test_of_many_mistakes_a_thousand_are_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/files/events", content=b"a\n" + b"1\n" * 1_500, headers=bearer("events") | KIND)

    assert (answer.json()["rejected"], len(answer.json()["reasons"])) == (1_500, 1_000)


async def test_lines_of_json_become_records_without_ordinals(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    """Equal objects are one event, told by its own id."""
    row = json.dumps(DATA).encode()
    kind = {"Content-Type": "application/x-ndjson"}

    answer = await client.post("/files/events", content=row + b"\n" + row, headers=bearer("events") | kind)

    assert answer.json()["accepted"] == 2
    assert kafka_of_the_gateway.records["leap.source.events"] == [(None, row, [])] * 2


async def test_what_is_no_file_of_rows_is_refused(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    for body, kind in (("a\tb\n1\t2\n".encode("utf-16"), KIND), (b"1", {"Content-Type": "application/json"})):
        answer = await client.post("/files/taps", content=body, headers=bearer("taps") | kind)
        assert (answer.status_code, answer.json()["place"]) == (400, "body")
    answer = await client.post("/files/taps", content=FILE, headers=bearer("taps") | {"Content-Type": "text/html"})
    assert answer.status_code == 415
    assert not kafka_of_the_gateway.records


async def test_a_file_that_is_too_large_is_refused_though_it_does_not_say_so(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"1\ta\t2026\n" * 1_000

    answer = await client.post("/files/taps", content=endless(), headers=bearer("taps") | KIND)

    assert answer.status_code == 413


async def test_a_file_that_kafka_did_not_take_is_to_be_sent_again(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    kafka_of_the_gateway.failure = DeliveryError("gone")

    answer = await client.post("/files/taps", content=FILE, headers=bearer("taps") | KIND)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_another_source_is_refused(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    for path in ("/files/moodle", "/files/nothing"):
        assert (await client.post(path, content=FILE, headers=bearer("taps") | KIND)).status_code == 403
    assert not kafka_of_the_gateway.records
