"""``leap schemas``: documents that are made from the code."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from leap.errors import CHECK_FAILED, OK, CommandError
from leap.generated import documents
from leap.terminal import err, out

ROOT = Path(__file__).resolve().parents[2]


def schemas(
    *, check: Annotated[bool, Parameter(help="Only compare; exit code 1 if one is not up to date.")] = False
) -> int:
    """Write what is made from the code: schemas/json/*.json, pages of metrics, topics, settings, rights and the broker.

    The JSON Schemas (2020-12) describe every record that travels, for those who produce or consume in another language.

    Example: `leap schemas --check`
    """
    if not (ROOT / "pyproject.toml").exists():
        raise CommandError("there is no checkout here to write into: run this in one, as `make schemas` does")
    stale = [path for path, text in documents().items() if not _holds(ROOT / path, text)]
    for path in stale:
        if check:
            out.print(f"not up to date: {path}; run: leap schemas")
        else:
            _write(ROOT / path, documents()[path])
            out.print(f"wrote {path}")
    if not stale:
        err.print("all documents are up to date")
    return CHECK_FAILED if check and stale else OK


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
