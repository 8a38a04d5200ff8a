"""The lag that a process tells: of the partitions that it has, and of no other.

A partition that has gone to another process would otherwise be told by both, and by this one for ever as it was when it
went: an alert on it would never end.
"""

from collections.abc import Mapping

from aiokafka import TopicPartition

from streams import metrics
from streams.settings import Role


class Lag:
    """What a role's process tells of its lag. Called from its event loop; returns at once and raises nothing."""

    def __init__(self, role: Role) -> None:
        """Begin without partitions."""
        self._role = role
        self._told: set[TopicPartition] = set()

    def tell(self, lags: Mapping[TopicPartition, int]) -> None:
        """Tell how many records of each partition are left; these are all that the process has."""
        for topic, partition in self._told - lags.keys():
            metrics.lag_records.remove(self._role, topic, partition)
        for (topic, partition), lag in lags.items():
            metrics.lag_records.labels(self._role, topic, partition).set(lag)
        self._told = set(lags)
