"""Every metric, declared in one place.

Base units; no label ever carries a user, a key or anything else without bound.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from pedro_ledger import __version__

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
PROVIDERS = ("clerk", "asaas")
WEBHOOK_OUTCOMES = ("applied", "waiting", "stale", "ignored", "rejected", "repeat", "not_genuine")
ADOPTION_OUTCOMES = ("adopted", "busy", "failed")
CHECKPOINT_OUTCOMES = ("made", "not_due", "unavailable", "refused")
CREDIT_OUTCOMES = ("expired", "rolled_over", "lapsed", "captured_late", "uncollected")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class UnlockedCounter(Collector):
    """A counter that is added to for every operation or request: a plain number a label set, read
    when somebody scrapes.

    The daemon has one thread, so a lock around each addition would cost more than the addition and
    protect nothing.
    """

    def __init__(
        self, name: str, documentation: str, labels: tuple[str, ...], from_zero: Iterable[tuple[str, ...]] = ()
    ) -> None:
        self._family = (name, documentation)
        self._labels = labels
        self.counts: dict[tuple[object, ...], int] = dict.fromkeys(from_zero, 0)
        """Those of `from_zero` are scraped before they happen: an alert sees the first one as an
        increase.
        """

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The family as it stands."""
        family = CounterMetricFamily(*self._family, labels=self._labels)
        for labels, count in self.counts.items():
            family.add_metric([str(label) for label in labels], count)
        yield family


class Metrics:
    """The daemon's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        info = Info("pedro_ledger_build", "Version of the daemon and of its Python.", registry=registry)
        info.info({"version": __version__, "python": platform.python_version()})
        self._operations = UnlockedCounter("pedro_ledger_operations", "Operations answered.", ("type", "outcome"))
        self._http = UnlockedCounter(
            "pedro_ledger_http_requests", "HTTP requests answered.", ("method", "route", "status")
        )
        registry.register(self._operations)
        registry.register(self._http)
        self._webhooks = UnlockedCounter(
            "pedro_ledger_webhooks",
            "Deliveries of webhooks answered.",
            ("provider", "outcome"),
            product(PROVIDERS, WEBHOOK_OUTCOMES),
        )
        registry.register(self._webhooks)
        self._deliveries = Gauge(
            "pedro_ledger_webhook_deliveries",
            "Deliveries of webhooks that wait, or were rejected; the same at every replica.",
            ("state",),
            registry=registry,
        )
        self._periods_without_credits = self._gauge(
            "paid_periods_without_credits",
            "Billing periods that are paid and have brought no credits; the same at every replica.",
        )
        self._checkpoints = UnlockedCounter(
            "pedro_ledger_checkpoints", "Attempts to seal the ledger.", ("outcome",), product(CHECKPOINT_OUTCOMES)
        )
        registry.register(self._checkpoints)
        self._loop_failures = UnlockedCounter(
            "pedro_ledger_loop_failures", "Ticks of a background loop that failed.", ("loop",)
        )
        registry.register(self._loop_failures)
        self._loop_last_success = self._gauge(
            "loop_last_success_seconds",
            "When a tick of a background loop last succeeded, in Unix time; the start, until one has.",
            ("loop",),
        )
        self._loop_failing = self._gauge(
            "loop_failing_seconds", "For how long a background loop has been failing; 0 while it works.", ("loop",)
        )
        self._event_loop_lag = Histogram(
            "pedro_ledger_event_loop_lag_seconds",
            "How late the event loop was with a callback that was due; probed ten times a second.",
            buckets=SECONDS,
            registry=registry,
        )
        self._decide_seconds = Histogram(
            "pedro_ledger_decide_seconds",
            "Deciding the operations of one batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "pedro_ledger_commit_seconds",
            "Committing one batch, from sending it to its outcome.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_units = Histogram(
            "pedro_ledger_batch_units", "Units in one batch.", buckets=SIZES, registry=registry
        )
        self._batch_operations = Histogram(
            "pedro_ledger_batch_operations", "Operations in one batch.", buckets=SIZES, registry=registry
        )
        self._load_seconds = Histogram(
            "pedro_ledger_load_seconds",
            "Loading the accounts that waited, in one query.",
            buckets=SECONDS,
            registry=registry,
        )
        self._loaded = Counter("pedro_ledger_accounts_loaded", "Accounts loaded.", registry=registry)
        self._adoptions = UnlockedCounter(
            "pedro_ledger_adoptions",
            "Users that the app made, taken over when they were first touched.",
            ("outcome",),
            ((outcome,) for outcome in ADOPTION_OUTCOMES),
        )
        registry.register(self._adoptions)
        self._stale = Counter(
            "pedro_ledger_stale_units",
            "Units decided again because another writer was faster.",
            registry=registry,
        )
        self._busy = Counter(
            "pedro_ledger_busy_units",
            "Units deferred because something else had locked a row of their user.",
            registry=registry,
        )
        self._replays = Counter(
            "pedro_ledger_replays", "Operations answered as their key was answered before.", registry=registry
        )
        self._unknown = Counter(
            "pedro_ledger_unknown_outcomes",
            "Units whose commit ended without an outcome and was looked up.",
            registry=registry,
        )
        self._refusals = Counter(
            "pedro_ledger_turned_away",
            "Operations turned away before they were decided.",
            ("reason",),
            registry=registry,
        )
        self._rollup_seconds = Histogram(
            "pedro_ledger_rollup_seconds",
            "Moving one step of changes into the reports' rollups.",
            buckets=SECONDS,
            registry=registry,
        )
        self._rolled_up = Counter(
            "pedro_ledger_rolled_up_changes", "Changes moved into the reports' rollups.", registry=registry
        )
        self.replica_lag = self._gauge(
            "replica_lag_seconds", "How far the replica is behind; infinite when it cannot be told, 0 without one."
        )
        self.replica_passed_over = Counter(
            "pedro_ledger_replica_passed_over",
            "Reads that the primary answered because the replica lagged or was gone.",
            registry=registry,
        )
        self.due_lag = self._gauge(
            "due_lag_seconds", "For how long the longest due grant or hold waits to be booked; 0 where none is due."
        )
        self.recurring_lag = self._gauge(
            "recurring_lag_seconds", "For how long the longest due recurring grant waits; 0 where none is due."
        )
        self.recurring_missed = Counter(
            "pedro_ledger_recurring_periods_missed",
            "Periods of recurring grants that went by without their grant.",
            registry=registry,
        )
        self.in_flight = self._gauge("operations_in_flight", "Operations without an answer yet.")
        self.bytes_in_flight = self._gauge(
            "bytes_in_flight", "Bytes of large bodies that arrive and of large details of operations in flight."
        )
        self.balance_streams = self._gauge("balance_streams", "Balance streams that are open.")
        self.accounts_resident = self._gauge("accounts_resident", "Accounts in memory.")
        self.actors_active = self._gauge("actors_active", "Actors that are not resting.")
        self.actors_busy = self._gauge("actors_busy", "Users who wait for a row that something else has locked.")
        self.mailbox_deepest = self._gauge("mailbox_deepest", "Operations in the fullest mailbox of those active now.")
        self.pool_connections = self._gauge("pool_connections", "Connections of the read pool.")
        self.pool_idle = self._gauge("pool_idle_connections", "Idle connections of the read pool.")
        self._schema_obstacles = self._gauge(
            "schema_obstacles", "Things of the app's schema that are in the way of the ledger.", ("effect",)
        )
        self.ready = self._gauge("ready", "1 when the daemon takes traffic.")
        self._add_credits()

    def _add_credits(self) -> None:
        """What becomes of credits that nobody spends."""
        self._outcomes = UnlockedCounter(
            "pedro_ledger_credit_outcomes",
            "Entries by which credits expired, rolled over, lapsed with a hold, were captured late or not collected.",
            ("outcome",),
            product(CREDIT_OUTCOMES),
        )
        self._outcome_credits = UnlockedCounter(
            "pedro_ledger_outcome_credits",
            "Credits that expired, rolled over, lapsed with a hold, were captured late or not collected.",
            ("outcome",),
            product(CREDIT_OUTCOMES),
        )
        self.registry.register(self._outcomes)
        self.registry.register(self._outcome_credits)
        self._open_holds = self._gauge("open_holds", "Open holds; the same at every replica.")
        self._credits_held = self._gauge("credits_held", "Credits that open holds hold; the same at every replica.")
        self._oldest_hold = self._gauge(
            "oldest_hold_seconds",
            "For how long the oldest open hold is open; 0 without one. The same at every replica.",
        )

    def _gauge(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"pedro_ledger_{name}", documentation, labels, registry=self.registry)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)

    def request(self, method: str, route: str, status: int) -> None:
        """One HTTP request was answered; `route` is a template, never a path."""
        counts, labels = self._http.counts, (method, route, status)
        counts[labels] = counts.get(labels, 0) + 1

    def operation(self, kind: str, outcome: str) -> None:
        """One operation was answered."""
        counts, labels = self._operations.counts, (kind, outcome)
        counts[labels] = counts.get(labels, 0) + 1

    def webhook(self, provider: str, outcome: str) -> None:
        """A delivery was answered: what became of it, `repeat`, or `not_genuine`."""
        self._webhooks.counts[provider, outcome] += 1

    def set_aside(self, waiting: int, rejected: int, periods_without_credits: int) -> None:
        """What of the webhooks could not be applied was counted."""
        self._deliveries.labels("waiting").set(waiting)
        self._deliveries.labels("rejected").set(rejected)
        self._periods_without_credits.set(periods_without_credits)

    def checkpoint(self, outcome: str) -> None:
        """An attempt to seal ended: `made`, `not_due`, `unavailable`, or `refused` to sign."""
        self._checkpoints.counts[outcome,] += 1

    def schema_looked_at(self, stopping: int, hindering: int) -> None:
        """So many things of the app's schema stop everybody, and so many keep something from some
        users.
        """
        self._schema_obstacles.labels("stops").set(stopping)
        self._schema_obstacles.labels("hinders").set(hindering)

    def add_loop(self, loop: str, at_s: float, failing_s: Callable[[], float]) -> None:
        """There is a background loop of this name, since `at_s` (Unix time); `failing_s` says for
        how long it has been failing.
        """
        self._loop_failures.counts[loop,] = 0
        self._loop_last_success.labels(loop).set(at_s)
        self._loop_failing.labels(loop).set_function(failing_s)

    def loop_failed(self, loop: str) -> None:
        """A tick of a background loop failed."""
        self._loop_failures.counts[loop,] += 1

    def loop_succeeded(self, loop: str, at_s: float) -> None:
        """A tick of a background loop succeeded, at `at_s` (Unix time)."""
        self._loop_last_success.labels(loop).set(at_s)

    def event_loop_lag(self, seconds: float) -> None:
        """The event loop came to a callback so long after it was due."""
        self._event_loop_lag.observe(seconds)

    def batch(self, units: int, operations: int, seconds: float) -> None:
        """One batch came back from the store."""
        self._batch_units.observe(units)
        self._batch_operations.observe(operations)
        self._commit_seconds.observe(seconds)

    def decided(self, operations: int, seconds: float) -> None:
        """Operations were decided for one batch."""
        self._decide_seconds.observe(seconds)

    def loaded(self, accounts: int, seconds: float) -> None:
        """Accounts were loaded in one query."""
        self._loaded.inc(accounts)
        self._load_seconds.observe(seconds)

    def adopted(self, outcome: str) -> None:
        """A user was `adopted`, was `busy`, or `failed` to be adopted."""
        self._adoptions.counts[outcome,] += 1

    def stale(self, units: int) -> None:
        """Units had to be decided again."""
        self._stale.inc(units)

    def busy(self, units: int) -> None:
        """Units were deferred because somebody else had locked a row of their user."""
        self._busy.inc(units)

    def replayed(self, operations: int) -> None:
        """Operations were answered with what their key had been answered before."""
        self._replays.inc(operations)

    def rolled_up(self, changes: int, seconds: float) -> None:
        """A step moved changes into the rollups."""
        self._rolled_up.inc(changes)
        self._rollup_seconds.observe(seconds)

    def unknown(self, units: int) -> None:
        """A commit ended without an outcome."""
        self._unknown.inc(units)

    def outcome(self, kind: str, credits: int) -> None:
        """Credits had an outcome of this kind."""
        self._outcomes.counts[kind,] += 1
        self._outcome_credits.counts[kind,] += credits

    def holds(self, open_holds: int, credits: int, oldest_s: float) -> None:
        """Open holds were counted."""
        self._open_holds.set(open_holds)
        self._credits_held.set(credits)
        self._oldest_hold.set(oldest_s)

    def refused(self, reason: str) -> None:
        """An operation was turned away before it was decided."""
        self._refusals.labels(reason).inc()
