"""Statements of xAPI 1.0.3 and 2.0 are taken all or none, each becomes a record, and a mistake is named by its place."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.streams.gateway.conftest import Kafka, bearer

AGENT = {"mbox": "mailto:jill@example.org"}
STATEMENT: dict[str, Any] = {
    "id": "6690e6c9-3ef0-4ed3-8b37-7f3964730bee",
    "actor": {"account": {"homePage": "http://www.example.org", "name": "1"}, "name": "test_fullname"},
    "verb": {"id": "https://xapi.edlm/profiles/edlm-lms/concepts/verbs/login", "display": {"en": "Logged In"}},
    "object": {
        "id": "http://www.example.org",
        "definition": {"type": "http://id.tincanapi.com/activitytype/lms"},
        "objectType": "Activity",
    },
    "timestamp": "2026-10-05T09:00:00+01:00",
    "context": {"extensions": {"http://lrs.learninglocker.net/define/extensions/info": {"event_name": None}}},
}
OTHER = "f7e1d3a0-0a53-4a3e-9b58-0f9e3f1f7c11"
HEADERS = bearer("hub") | {"X-Experience-API-Version": "1.0.3"}


def without(*names: str) -> dict[str, Any]:
    """The statement without some of its properties."""
    return {name: value for name, value in STATEMENT.items() if name not in names}


async def post(client: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(
        "/xapi/statements", content=content, headers={"Content-Type": "application/json", **HEADERS, **headers}
    )


async def test_one_statement_is_stored_byte_for_byte(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    body = json.dumps(STATEMENT, indent=1).replace("test_fullname", "t\\u00e9st").encode()

    answer = await post(client, body)

    assert (answer.status_code, answer.json()) == (200, [STATEMENT["id"]])
    assert answer.headers["X-Experience-API-Version"] == "1.0.3"
    assert kafka_of_the_gateway.values("hub") == [body]


async def test_a_batch_is_stored_a_record_a_statement(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    one, two = json.dumps(STATEMENT, indent=2).encode(), json.dumps(STATEMENT | {"id": OTHER}).encode()

    answer = await post(client, b" [ " + one + b" ,\n" + two + b"]\n")

    assert (answer.status_code, answer.json()) == (200, [STATEMENT["id"], OTHER])
    assert kafka_of_the_gateway.values("hub") == [one, two]


@pytest.mark.parametrize(("asked", "answered"), [("1.0.0", "1.0.3"), ("1.0.3", "1.0.3"), ("2.0.0", "2.0.0")])
async def test_the_version_is_answered(client: httpx.AsyncClient, asked: str, answered: str) -> None:
    answer = await post(client, STATEMENT, **{"X-Experience-API-Version": asked})

    assert answer.headers["X-Experience-API-Version"] == answered


@pytest.mark.parametrize("version", ["", "0.95", "3.0.0", "1.1.0", "2"])
async def test_another_version_is_refused(client: httpx.AsyncClient, version: str) -> None:
    answer = await post(client, STATEMENT, **{"X-Experience-API-Version": version})

    assert (answer.status_code, answer.json()["place"]) == (400, "header X-Experience-API-Version")


async def test_who_names_no_version_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/xapi/statements", json=STATEMENT, headers=bearer("hub"))

    assert (answer.status_code, answer.json()["place"]) == (400, "header X-Experience-API-Version")


async def test_a_statement_without_an_id_gets_one_and_a_repeat_the_same(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    """A sender that was told to try again sends the same bytes: they must not count twice."""
    body = json.dumps(without("id")).encode()

    (first,) = (await post(client, body)).json()
    (again,) = (await post(client, body)).json()

    assert str(UUID(first)) == first == again
    assert set(kafka_of_the_gateway.values("hub")) == {b'{"id":"' + first.encode() + b'",' + body[1:]}


async def test_equal_statements_without_ids_in_one_batch_are_two(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    ids = (await post(client, [without("id"), without("id")])).json()

    assert len(set(ids)) == 2
    assert [json.loads(value or b"")["id"] for value in kafka_of_the_gateway.values("hub")] == ids


async def test_a_statement_without_a_time_gets_that_of_its_arrival(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka
) -> None:
    body = json.dumps(without("timestamp")).encode()

    await post(client, body)

    assert kafka_of_the_gateway.values("hub") == [b'{"timestamp":"2026-09-21T14:13:20Z",' + body[1:]]


@pytest.mark.parametrize("statement", [STATEMENT, without("id")])
async def test_put_takes_one_statement_under_the_id_of_the_address(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, statement: dict[str, Any]
) -> None:
    answer = await client.put(
        "/xapi/statements", params={"statementId": STATEMENT["id"]}, json=statement, headers=HEADERS
    )

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["X-Experience-API-Version"] == "1.0.3"
    (stored,) = kafka_of_the_gateway.values("hub")
    assert json.loads(stored or b"") == STATEMENT


@pytest.mark.parametrize(
    ("params", "body", "place"),
    [
        ({}, STATEMENT, "query statementId"),
        ({"statementId": "1"}, STATEMENT, "query statementId"),
        ({"statementId": OTHER}, STATEMENT, "id"),
        ({"statementId": OTHER}, [STATEMENT], "body"),
    ],
)
async def test_put_refuses_what_is_not_one_statement_of_that_id(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, params: dict[str, str], body: Any, place: str
) -> None:
    answer = await client.put("/xapi/statements", params=params, json=body, headers=HEADERS)

    assert (answer.status_code, answer.json()["place"]) == (400, place)
    assert not kafka_of_the_gateway.records


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"actor": ...}, "actor"),
        ({"verb": ...}, "verb"),
        ({"object": ...}, "object"),
        ({"id": "1"}, "id"),
        ({"id": 7}, "id"),
        ({"actor": {}}, "actor"),
        ({"actor": []}, "actor"),
        ({"actor": AGENT | {"openid": "http://example.org/jill"}}, "actor"),
        ({"actor": {"mbox": "jill@example.org"}}, "actor.mbox"),
        ({"actor": {"mbox_sha1sum": "abc"}}, "actor.mbox_sha1sum"),
        ({"actor": {"openid": "jill"}}, "actor.openid"),
        ({"actor": {"account": {"homePage": "example", "name": "1"}}}, "actor.account.homePage"),
        ({"actor": {"account": {"homePage": "http://example.org"}}}, "actor.account.name"),
        ({"actor": {"objectType": "Person", **AGENT}}, "actor.objectType"),
        ({"actor": {"objectType": "Group"}}, "actor"),
        ({"actor": {"objectType": "Group", "member": ["jill"]}}, "actor.member"),
        ({"verb": {"id": "viewed"}}, "verb.id"),
        ({"verb": {}}, "verb.id"),
        ({"verb": {"id": "http://example.org/v", "display": "viewed"}}, "verb.display"),
        ({"object": {"id": "page"}}, "object.id"),
        ({"object": {"objectType": "Thing", "id": "http://example.org"}}, "object.objectType"),
        ({"object": {"objectType": "StatementRef", "id": "1"}}, "object.id"),
        ({"object": {"objectType": "Agent"}}, "object"),
        ({"object": {"objectType": "SubStatement", **STATEMENT}}, "object"),
        ({"object": {"objectType": "SubStatement", **without("id", "object")}}, "object.object"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-10-05T09:00:00"}, "timestamp"),
        ({"timestamp": "2026-10-05T09:00:00-00:00"}, "timestamp"),
        ({"timestamp": 1_790_000_000}, "timestamp"),
        ({"result": {"success": "yes"}}, "result.success"),
        ({"result": {"score": {"scaled": 1.5}}}, "result.score.scaled"),
        ({"result": {"score": {"raw": "9"}}}, "result.score.raw"),
        ({"context": {"registration": "1"}}, "context.registration"),
        ({"version": "0.9"}, "version"),
        ({"result": None}, "result"),
        ({"verb": {"id": "http://example.org/v", "display": {"jill": None}}}, "verb.display.*"),
        ({"jill": 1}, "statement"),
        ({"attachments": {}}, "attachments"),
    ],
    ids=str,
)
async def test_a_mistake_is_named_by_its_place_and_never_quoted(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, change: dict[str, Any], place: str
) -> None:
    """`...` stands for a property that is not there."""
    bad = {name: value for name, value in {**STATEMENT, **change}.items() if value is not ...}

    alone, second = await post(client, bad), await post(client, [STATEMENT | {"id": OTHER}, bad])

    assert alone.headers["content-type"] == "application/problem+json"
    assert (alone.status_code, alone.json()["place"]) == (400, place)
    assert (second.status_code, second.json()["place"]) == (400, "[1]" if place == "statement" else f"[1].{place}")
    assert "jill" not in alone.text + second.text
    assert not kafka_of_the_gateway.records


@pytest.mark.parametrize(
    "change",
    [
        {"actor": AGENT},
        {"actor": {"objectType": "Group", "member": [AGENT]}},
        {"actor": {"objectType": "Group", "mbox_sha1sum": "a" * 40}},
        {"object": {"objectType": "StatementRef", "id": OTHER}},
        {"object": {"objectType": "Agent", **AGENT}},
        {"object": {"objectType": "SubStatement", **without("id")}},
        {"context": {"extensions": []}},
        {"context": {"contextAgents": [{"objectType": "contextAgent", "agent": AGENT}]}},
        {"result": {"score": {"scaled": -1}, "success": False, "duration": "PT4S"}},
        {"version": "2.0.0", "stored": "2026-10-05T09:00:00Z", "authority": AGENT},
        {"timestamp": "2026-10-05T09:00:00.123456789Z"},
    ],
    ids=str,
)
async def test_what_the_standard_allows_is_taken(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, change: dict[str, Any]
) -> None:
    answer = await post(client, STATEMENT | change)

    assert answer.status_code == 200, answer.text
    assert len(kafka_of_the_gateway.values("hub")) == 1


@pytest.mark.parametrize("other", [{}, {"verb": {"id": "http://example.org/other"}}])
async def test_two_statements_of_one_id_in_a_batch_are_refused(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, other: dict[str, Any]
) -> None:
    answer = await post(client, [STATEMENT, STATEMENT | {"id": STATEMENT["id"].upper()} | other])

    assert (answer.status_code, answer.json()["place"]) == (400, "id")
    assert not kafka_of_the_gateway.records


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"1", b"null", b"\xff", b"[1]", b"[" * 5000, b'{"a":' * 5000])
async def test_what_is_no_statement_is_refused(
    client: httpx.AsyncClient, kafka_of_the_gateway: Kafka, body: bytes
) -> None:
    assert (await post(client, body)).status_code == 400
    assert not kafka_of_the_gateway.records


async def test_an_empty_list_is_nothing(client: httpx.AsyncClient) -> None:
    answer = await post(client, b"[]")

    assert (answer.status_code, answer.json()) == (200, [])


async def test_attachments_beside_a_statement_are_not_taken(client: httpx.AsyncClient) -> None:
    answer = await post(client, STATEMENT, **{"Content-Type": "multipart/mixed; boundary=x"})

    assert answer.status_code == 415


async def test_the_source_is_that_of_the_credential(client: httpx.AsyncClient, kafka_of_the_gateway: Kafka) -> None:
    await post(client, STATEMENT, **bearer("moodle"))

    assert len(kafka_of_the_gateway.values("moodle")) == 1
    assert not kafka_of_the_gateway.values("hub")
