"""The processes' own metrics, read from their /metrics as Prometheus would, and quantiles."""

import math
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]


def scrape(url: str, names: Sequence[str] = ()) -> Samples:
    """Return the samples of a process by name and labels; OSError if it does not answer.

    ``names``: only these, which spares the caller most of the reading.
    """
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 - a process of the installation
            text = answer.read().decode()
    except HTTPException as error:  # it ended in the middle, or something else listens there
        raise OSError(f"{url}: {error!r}") from error
    if names:
        text = "".join(line for line in text.splitlines(keepends=True) if line.startswith(tuple(names)))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of the samples of a name that have these labels."""
    wanted = labels.items()
    return sum(value for (n, have), value in samples.items() if n == name and wanted <= dict(have).items())


def quantile(share: float, values: Sequence[float]) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    >>> quantile(0.5, [3.0, 1.0, 2.0])
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
