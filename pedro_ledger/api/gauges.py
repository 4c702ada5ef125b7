"""Gauges that are read when somebody asks for the metrics, not kept up by what they measure."""

from pedro_ledger.engine.engine import Engine
from pedro_ledger.postgres.database import Database
from pedro_ledger.streams.broadcaster import Broadcaster
from pedro_ledger.telemetry.metrics import Metrics


class Gauges:
    """What the engine and the pool of connections hold at this moment."""

    def __init__(self, engine: Engine, database: Database, streams: Broadcaster, metrics: Metrics) -> None:
        self._engine = engine
        self._database = database
        self._streams = streams
        self._metrics = metrics

    def update(self) -> None:
        """Set the gauges to what is now."""
        registry = self._engine.registry
        self._metrics.in_flight.set(self._engine.in_flight)
        self._metrics.bytes_in_flight.set(self._engine.bytes.in_use)
        self._metrics.balance_streams.set(self._streams.count)
        self._metrics.accounts_resident.set(len(registry))
        self._metrics.actors_active.set(len(registry.active))
        self._metrics.actors_busy.set(len(self._engine.committer.busy) + self._engine.loader.deferred)
        self._metrics.mailbox_deepest.set(registry.deepest_mailbox())
        size, idle = self._database.pool_size
        self._metrics.pool_connections.set(size)
        self._metrics.pool_idle.set(idle)
