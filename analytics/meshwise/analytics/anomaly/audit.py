"""The audit as a cycle runs it: read the history of a window, learn from what is new of it, score."""

from __future__ import annotations

from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.anomaly.detection import Detector
from meshwise.analytics.anomaly.history import HistoryReader
from meshwise.analytics.load import BulkClient
from meshwise.analytics.world import World
from meshwise.contracts.rows import AnomalyFinding


class AnomalyAudit:
    """Scores windows of one store; windows that follow each other share most of their history."""

    def __init__(self, config: AnomalyConfig) -> None:
        self._config = config
        self._detector = Detector(config)
        self._reader: tuple[BulkClient, HistoryReader] | None = None

    def run(self, client: BulkClient, world: World) -> list[AnomalyFinding]:
        """Return one finding per edge of ``world``."""
        if self._reader is None or self._reader[0] is not client:
            self._reader = client, HistoryReader(client, self._config)
        return self._detector.fit(self._reader[1].read(world)).score(world)
