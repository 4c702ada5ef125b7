"""Every background loop of the daemon, in one list: what it does, how often, and what its failure
means.
"""

from pedro_ledger.api.access.key_refresher import KeyRefresher
from pedro_ledger.billing.recurring import GRANT_EVERY_S, RecurringGrants
from pedro_ledger.billing.service import Webhooks
from pedro_ledger.daemon.checkpoints import make_sealer
from pedro_ledger.daemon.databases import Databases
from pedro_ledger.daemon.looper import Looper
from pedro_ledger.engine.engine import Engine
from pedro_ledger.engine.expirer import EXPIRE_EVERY_S, Expirer
from pedro_ledger.engine.sweeper import SWEEP_EVERY_S
from pedro_ledger.postgres.replica import CHECK_INTERVAL_S, Reader
from pedro_ledger.settings import Settings
from pedro_ledger.store.app.price_refresher import PriceRefresher
from pedro_ledger.store.journal.due import DueReader
from pedro_ledger.store.journal.refusals import RefusalPurger
from pedro_ledger.store.reports.rollups import RollupWorker
from pedro_ledger.store.schema.obstacles import WATCH_TICK_S, SchemaWatcher
from pedro_ledger.store.schema.partitions import PartitionKeeper
from pedro_ledger.streams.broadcaster import POLL_EVERY_S, Broadcaster
from pedro_ledger.telemetry.metrics import Metrics

NOTE_USE_EVERY_S = 60.0
"""The last use of a key is written this often, and when the daemon ends; never by a request."""
RETRY_WEBHOOKS_EVERY_S = 2.0
PURGE_EVERY_S = 600.0
KEEP_PARTITIONS_EVERY_S = 3600.0
PARTITIONS_TIMEOUT_S = 600.0
"""It tries a hundred times to have the app's table for a moment."""
DUE_TIMEOUT_S = 120.0
"""It waits for the answers to a page of touches."""
WEBHOOKS_TIMEOUT_S = 300.0
SEALING_TIMEOUT_S = 3600.0
"""Or the time between two checkpoints, where that is longer: each walks over all accounts."""


def make_loops(
    settings: Settings,
    databases: Databases,
    metrics: Metrics,
    *,
    engine: Engine,
    keys: KeyRefresher,
    prices: PriceRefresher,
    schema: SchemaWatcher,
    reader: Reader,
    webhooks: Webhooks,
    recurring: RecurringGrants,
    streams: Broadcaster,
) -> list[Looper]:
    """The loops in the order in which they start. Keys, prices, the schema and the replica were
    read once already.

    Vital is what answers become wrong or insecure without: the replica is unready while it fails.
    Of the rest it is told.
    """
    expirer = Expirer(DueReader(databases.primary), engine.submit, metrics.due_lag.set, metrics.holds)
    purger = RefusalPurger(databases.primary, kept_days=settings.refusals_kept_days)
    rollups = RollupWorker(databases.primary, interval_s=settings.rollup_interval_s, on_step=metrics.rolled_up)
    partitions = PartitionKeeper(databases.direct)
    loops = [
        Looper("deadlines", engine.sweeper.tick, SWEEP_EVERY_S, metrics, is_vital=True),
        Looper("keys", keys.refresh, settings.keys_refresh_s, metrics, is_vital=True, starts_now=False),
        Looper("prices", prices.refresh, settings.prices_refresh_s, metrics, is_vital=True, starts_now=False),
        Looper("schema", schema.tick, WATCH_TICK_S, metrics, starts_now=False),
        Looper("key_uses", keys.note_use, NOTE_USE_EVERY_S, metrics, starts_now=False),
        Looper("due", expirer.tick, EXPIRE_EVERY_S, metrics, tick_timeout_s=DUE_TIMEOUT_S),
        Looper("streams", streams.tick, POLL_EVERY_S, metrics),
        Looper("recurring", recurring.tick, GRANT_EVERY_S, metrics, tick_timeout_s=DUE_TIMEOUT_S),
        Looper("refusals", purger.tick, PURGE_EVERY_S, metrics, tick_timeout_s=PURGE_EVERY_S),
        Looper("rollups", rollups.tick, settings.rollup_interval_s, metrics),
        Looper("partitions", partitions.tick, KEEP_PARTITIONS_EVERY_S, metrics, tick_timeout_s=PARTITIONS_TIMEOUT_S),
        Looper("webhooks", webhooks.tick, RETRY_WEBHOOKS_EVERY_S, metrics, tick_timeout_s=WEBHOOKS_TIMEOUT_S),
        Looper("event_plans", webhooks.tick_plans, RETRY_WEBHOOKS_EVERY_S, metrics, tick_timeout_s=WEBHOOKS_TIMEOUT_S),
        Looper("webhook_purge", webhooks.tick_purge, PURGE_EVERY_S, metrics, tick_timeout_s=PURGE_EVERY_S),
    ]
    if databases.replica is not None:
        loops.append(Looper("replica", reader.tick, CHECK_INTERVAL_S, metrics, starts_now=False))
    if every_s := settings.checkpoint_every_s:
        sealer = make_sealer(settings, databases.direct, metrics.checkpoint)
        loops.append(
            Looper("checkpoints", sealer.tick, every_s, metrics, tick_timeout_s=max(every_s, SEALING_TIMEOUT_S))
        )
    return loops
