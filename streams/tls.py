"""TLS as a client: who we trust and who we are. The host name is always checked, and nothing below TLS 1.2 spoken."""

import ssl
from pathlib import Path


def client_context(
    setting: str, ca_file: Path | None, certificate_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """Return a context that trusts ``ca_file`` alone, or without one what the system trusts.

    ``setting`` begins the names of the settings that the files came from (``LEAP_KAFKA``).

    Raises:
        ValueError: a file cannot be used; the message names setting, file and reason.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise ValueError(f"{setting}_CA_FILE: {ca_file} {_reason(error, 'certificate')}") from error
    if certificate_file is not None:
        try:
            # Asked for a passphrase, a process without a terminal would hang.
            context.load_cert_chain(certificate_file, key_file, password=lambda: b"")
        except OSError as error:
            files = " or ".join(str(file) for file in (certificate_file, key_file) if file is not None)
            variables = f"{setting}_CERTIFICATE_FILE" + (f", {setting}_KEY_FILE" if key_file else "")
            raise ValueError(
                f"{variables}: {files} {_reason(error, 'certificate with its own unencrypted key')}"
            ) from error
    return context


def _reason(error: OSError, wanted: str) -> str:
    if isinstance(error, ssl.SSLError):
        return f"has no {wanted} in PEM form ({error.reason or error})"
    return f"cannot be read: {error.strerror}"
