"""What is made from the code stands in the checkout as the code would make it now."""

import json

import pytest

from leap.commands.schemas import ROOT
from leap.generated import documents, schemas


@pytest.mark.parametrize("path", documents(), ids=str)
def test_a_generated_document_is_up_to_date(path: object) -> None:
    found = documents()
    assert (ROOT / str(path)).read_text(encoding="utf-8") == next(text for p, text in found.items() if p == path), (
        "run: leap schemas"
    )


def test_no_schema_is_left_of_a_record_that_is_gone() -> None:
    assert {path.stem for path in (ROOT / "schemas/json").glob("*.json")} == {name for name, _ in schemas()}


def test_every_schema_has_a_name_of_its_own_and_every_reference_leads_somewhere() -> None:
    found = dict(schemas())
    names = {schema["$id"] for schema in found.values()}

    assert len(names) == len(found)
    for schema in found.values():
        text = json.dumps(schema)
        local = {f"#/$defs/{name}" for name in schema.get("$defs", {})}
        for reference in text.split('"$ref": "')[1:]:
            assert reference.partition('"')[0] in local | names
