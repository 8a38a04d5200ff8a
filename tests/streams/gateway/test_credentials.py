"""The file of credentials is used or refused with the place of the mistake, and no secret of it is ever said."""

from pathlib import Path

import pytest

from streams.gateway.credentials import CredentialsError, read

GOOD = """
[[credential]]
source = "zoom"
kind = "hmac"
secrets = ["s3cret-s3cret-s3cret", "s3cret-s3cret-older"]

[[credential]]
source = "hub"
kind = "basic"
user = "hub"
secrets = ["s3cret-s3cret-s3cret"]
"""


def test_a_good_file_is_read_and_says_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(GOOD)

    found = read(file, ("zoom", "hub", "events"))

    assert found.sources == {"zoom", "hub"}
    assert [secret for _, secret in found.signers("zoom")] == [b"s3cret-s3cret-s3cret", b"s3cret-s3cret-older"]
    assert "s3cret" not in repr(found) + repr(found._all) + str([one.model_dump_json() for one in found._all])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "[[credential]]: Field required"),
        ("credential = 1", "[[credential]]: Input should be a valid tuple"),
        ('[[credential]]\nsource = "s3cret', "no TOML at end of document"),
        ("s3cret", "no TOML at end of document"),
        (GOOD.replace('"hmac"', '"s3cret"'), "credential 1: kind: Input should be 'hmac', 'bearer' or 'basic'"),
        (GOOD.replace("secrets", "s3cret", 1), "credential 1: "),
        (GOOD.replace(', "s3cret-s3cret-older"', ', "s3cret"'), "credential 1: secrets: Value should have at least 16"),
        (GOOD.replace(', "s3cret-s3cret-older"', ', "a", "b"'), "credential 1: secrets: "),
        (GOOD.replace('user = "hub"', ""), "credential 2: Value error, user: belongs to kind basic"),
        (GOOD.replace('"basic"', '"bearer"'), "credential 2: Value error, user: belongs to kind basic"),
        (GOOD.replace('"zoom"', '"s3cret"'), "credential 1: source: not in LEAP_SOURCES, which has hub, zoom"),
        ('a = "s3cret" b', "no TOML at line 1, column 14"),
        ("\udcff", "no TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(CredentialsError) as error:
        read(file, ("zoom", "hub"))

    assert str(error.value).startswith(f"LEAP_GATEWAY_CREDENTIALS: {file}: {reason}")
    assert "s3cret" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="nowhere cannot be read: No such file"):
        read(tmp_path / "nowhere", ())
