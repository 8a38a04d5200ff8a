"""A setting that protects is used or refused, never left aside; a secret comes from a file or the environment, and stays there."""

import os
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from streams.settings import SECRETS, UNSECURED, Settings, variable

SASL: dict[str, Any] = {"kafka_security": "sasl_ssl", "kafka_user": "leap-roster", "kafka_password": "s3cret"}


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """An authority, and a certificate and key from it."""
    ca = trustme.CA()
    own = ca.issue_cert("localhost")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "certificate", "key", "other_key")}
    ca.cert_pem.write_to_path(str(files["ca"]))
    own.cert_chain_pems[0].write_to_path(str(files["certificate"]))
    own.private_key_pem.write_to_path(str(files["key"]))
    ca.issue_cert("localhost").private_key_pem.write_to_path(str(files["other_key"]))
    return files


def refusal(**given: Any) -> str:
    """Return why settings are refused."""
    with pytest.raises(ValidationError) as error:
        Settings(**given)
    assert "s3cret" not in str(error.value)
    return "; ".join(found["msg"] for found in error.value.errors())


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file(name: str, tmp_path: Path) -> None:
    """Line ends at its end are the editor's; anything else belongs to the secret."""
    file = tmp_path / "secret"
    file.write_text(" s3cret \n")
    needed = {
        "kafka_password": {**SASL, "kafka_password": None},
        "identity_key_before": {"identity_key": "another"},
    }.get(name, {})

    settings = Settings(**{**needed, f"{name}_file": file})

    assert getattr(settings, name) == SecretStr(" s3cret ")
    assert "s3cret" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_cannot_be_had_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe")

    assert f"{variable(name)}_FILE: /nowhere cannot be read: No such file" in refusal(**{f"{name}_file": "/nowhere"})
    assert f"{variable(name)}_FILE: {empty} is empty" in refusal(**{f"{name}_file": empty})
    assert f"{variable(name)}_FILE: {binary} cannot be read" in refusal(**{f"{name}_file": binary})
    assert "set one of them" in refusal(**{name: "s3cret", f"{name}_file": empty})


@pytest.mark.parametrize("form", ["%d.%Q.%y", "%d %d", "%"])
def test_a_form_that_no_date_has_is_refused(form: str) -> None:
    assert "not a form of dates" in refusal(moodle_dates=form)
    assert Settings(moodle_dates="%d.%m.%Y %H:%M 100%%").moodle_dates


def test_a_password_in_the_url_of_redis_is_taken_out_of_it() -> None:
    settings = Settings(redis="rediss://leap-writer:s3cr%40t@redis:6379/3")

    assert settings.redis == "rediss://redis:6379/3"
    assert (settings.redis_user, settings.redis_password) == ("leap-writer", SecretStr("s3cr@t"))
    assert "s3cr" not in repr(settings)


def test_tls_cannot_be_weakened_by_the_url_of_redis() -> None:
    for query in ("ssl_cert_reqs=none", "ssl_check_hostname=false", "password=x"):
        assert query.partition("=")[0] in refusal(redis=f"rediss://redis:6379/0?{query}")


def test_what_would_protect_nothing_is_refused(certificate: dict[str, Path]) -> None:
    """Who sets a password or an authority believes that it is used."""
    ca = certificate["ca"]
    for given, named in (
        ({"kafka_security": "sasl_ssl", "kafka_user": "me"}, "LEAP_KAFKA_PASSWORD"),
        ({"kafka_security": "sasl_plaintext", "kafka_password": "s3cret"}, "LEAP_KAFKA_USER"),
        ({"kafka_user": "me"}, "LEAP_KAFKA_USER"),
        ({"kafka_security": "ssl", "kafka_password": "s3cret"}, "LEAP_KAFKA_PASSWORD"),
        ({**SASL, "kafka_security": "sasl_plaintext", "kafka_ca_file": ca}, "LEAP_KAFKA_CA_FILE"),
        ({"kafka_security": "ssl", "kafka_key_file": certificate["key"]}, "LEAP_KAFKA_CERTIFICATE_FILE"),
        ({"redis_ca_file": ca}, "LEAP_REDIS_CA_FILE"),
        ({"identity_key_before": "s3cret"}, "LEAP_IDENTITY_KEY"),
        ({"redis_user": "me"}, "LEAP_REDIS_PASSWORD"),
        ({"redis": "redis://you:s3cret@redis", "redis_password": "s3cret"}, "LEAP_REDIS"),
    ):
        assert named in refusal(**given)


def test_certificates_that_cannot_be_used_are_named_with_the_reason(certificate: dict[str, Path]) -> None:
    files: dict[str, Any] = {f"kafka_{name}_file": path for name, path in certificate.items() if name != "other_key"}
    assert Settings(kafka_security="ssl", **files).kafka_ca_file == certificate["ca"]

    ssl: dict[str, Any] = {"kafka_security": "ssl", **files}
    no_pem = Path(__file__)
    for change, words in (
        ({"kafka_ca_file": "/nowhere"}, "LEAP_KAFKA_CA_FILE: /nowhere cannot be read: No such file"),
        ({"kafka_ca_file": no_pem}, f"LEAP_KAFKA_CA_FILE: {no_pem} has no certificate in PEM form"),
        ({"kafka_certificate_file": no_pem}, f"LEAP_KAFKA_CERTIFICATE_FILE, LEAP_KAFKA_KEY_FILE: {no_pem} or"),
        ({"kafka_key_file": certificate["other_key"]}, "KEY_VALUES_MISMATCH"),
    ):
        assert words in refusal(**{**ssl, **change})
    assert "LEAP_REDIS_CA_FILE: /nowhere" in refusal(redis="rediss://redis", redis_ca_file="/nowhere")


def test_servers_of_ones_own_are_reached_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`leap demo` and `leap up` start a broker without users, also where the settings of production stand."""
    for name in UNSECURED:
        assert name in Settings.model_fields
    of_connections = {name for name in Settings.model_fields if name.startswith(("kafka_", "redis_"))}
    assert of_connections == {*UNSECURED, "kafka_mechanism"}
    for name, value in (SASL | {"redis_password": "s3cret"}).items():
        monkeypatch.setitem(os.environ, variable(name), value)

    settings = Settings(**UNSECURED)

    assert settings.kafka_security == "plaintext"
    assert settings.kafka_password is settings.redis_password is None
