"""The report of a run over two checkouts, for people and for machines.

CPU comes first: on a busy machine it is the steadier figure.
"""

from typing import Any

from rich.console import Console
from rich.table import Table

from pedro_ledger.tools.bench.checkouts import Checkout
from pedro_ledger.tools.bench.figures import Sample
from pedro_ledger.tools.bench.pairing import PairedReport
from pedro_ledger.tools.bench.ratios import Comparison, Measure, Pair, PairedRow, Ratios

_COLOURS = {Comparison.WORSE: "red", Comparison.UNCLEAR: "yellow"}
OTHER_MEASURES = (Measure.DAEMON_CPU, Measure.POSTGRES_CPU, Measure.RATE)
_DIGITS = 4


def paired_report_json(report: PairedReport, margin: float) -> dict[str, Any]:
    """Everything, rates in operations a second, CPU in microseconds an operation; every ratio is
    this over other.
    """
    plan = report.plan
    return {
        "machine": report.machine,
        "versions": report.versions,
        "plan": {"pairs": plan.repeats, "seconds": plan.seconds, "rows": [row.name for row in plan.rows]},
        "checkouts": {name: _checkout_json(checkout) for name, checkout in report.checkouts.items()},
        "margin": margin,
        "rows": [_row_json(row, margin) for row in report.rows.values()],
        "operations": report.operations,
        "verify": report.verified,
        "sound": report.is_sound,
    }


def _checkout_json(checkout: Checkout) -> dict[str, Any]:
    return {
        "root": str(checkout.root),
        "commit": checkout.commit,
        "python": checkout.python,
        "pythonPath": checkout.path,
        "versions": dict(checkout.versions),
    }


def _row_json(row: PairedRow, margin: float) -> dict[str, Any]:
    found = {measure: row.ratios(measure) for measure in Measure}
    return {
        "name": row.name,
        "connections": row.connections,
        "generator": row.generator,
        "measures": {
            measure.value: _ratios_json(row, ratios, margin) for measure, ratios in found.items() if ratios is not None
        },
        "pairs": [_pair_json(pair) for pair in row.pairs] if row.is_sound else None,
        "errors": row.errors,
    }


def _ratios_json(row: PairedRow, ratios: Ratios, margin: float) -> dict[str, Any]:
    interval, medians = ratios.interval, row.medians(ratios.measure)
    return {
        "unit": ratios.measure.unit,
        **({} if medians is None else {"this": round(medians[0], 1), "other": round(medians[1], 1)}),
        "ratio": round(ratios.median, _DIGITS),
        "min": round(min(ratios.values), _DIGITS),
        "max": round(max(ratios.values), _DIGITS),
        "interval": None
        if interval is None
        else {
            "low": round(interval.low, _DIGITS),
            "high": round(interval.high, _DIGITS),
            "confidence": round(interval.confidence, _DIGITS),
        },
        "verdict": ratios.verdict(margin).value,
    }


def _pair_json(pair: Pair) -> dict[str, Any]:
    ratios = {measure.value: pair.ratio(measure) for measure in Measure}
    return {
        "first": pair.first,
        "this": _sample_json(pair.this),
        "other": _sample_json(pair.other),
        "ratios": {name: None if value is None else round(value, _DIGITS) for name, value in ratios.items()},
    }


def _sample_json(sample: Sample) -> dict[str, Any]:
    figures = {measure.value: measure.of(sample) for measure in Measure}
    return {
        "operations": sample.operations_in_all,
        **{name: None if value is None else round(value, 2) for name, value in figures.items()},
    }


def print_paired_report(report: PairedReport, margin: float, console: Console) -> None:
    """What ran, the pairs, and what they say together."""
    machine, plan = report.machine, report.plan
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memoryGiB']} GiB, {machine['system']}, "
        f"fsync {machine['fsyncMs']} ms, load before {machine['loadBefore']}"
    )
    console.print(", ".join(f"{name} {version}" for name, version in report.versions.items()))
    for name, checkout in report.checkouts.items():
        console.print(f"{name}: {checkout.how}", soft_wrap=True)
    for line in differences(*report.checkouts.values()):
        console.print(f"[yellow]{line}[/yellow]")
    console.print(
        f"{plan.repeats} pairs, {plan.seconds} s a run; every ratio is this / other; cpu: daemon and PostgreSQL together"
    )
    for row in report.rows.values():
        if row.is_sound:
            console.print(_pairs_table(row))
        else:
            console.print(f"[red]no figure for {row.name}[/red], it met errors: {row.errors or 'it did not run'}")
    console.print(_summary_table(report, margin))
    for each in report.verified:
        console.print(f"verify {each['database']}: {'in order' if each['status'] == 0 else 'FAILED'} {each['says']}")


def differences(this: Checkout, other: Checkout) -> list[str]:
    """What the two daemons do not share beside their code: it is in the ratios too."""
    return [
        f"{package} is {version} for this and {other.versions.get(package)} for other: the ratios are of both"
        for package, version in this.versions.items()
        if package != "pedro-ledger" and version != other.versions.get(package)
    ]


def _pairs_table(row: PairedRow) -> Table:
    table = Table(title=f"{row.name}, {row.connections} connections, load by {row.generator}", title_justify="left")
    table.add_column("pair", justify="right")
    table.add_column("first")
    for title in ("cpu µs: this", "other", "ratio"):
        table.add_column(title, justify="right", no_wrap=True, style="bold")
    for measure in OTHER_MEASURES:
        table.add_column(f"{measure} ratio", justify="right", no_wrap=True)
    for number, pair in enumerate(row.pairs, 1):
        figures = [_figure(Measure.CPU.of(sample)) for sample in (pair.this, pair.other)]
        ratios = [_ratio(pair.ratio(measure)) for measure in (Measure.CPU, *OTHER_MEASURES)]
        table.add_row(str(number), pair.first, *figures, *ratios)
    return table


def _summary_table(report: PairedReport, margin: float) -> Table:
    table = Table(
        title=f"this / other, {report.plan.repeats} pairs; equal means within {margin:.1%}", title_justify="left"
    )
    for title in ("row", "of"):
        table.add_column(title, no_wrap=True)
    for title in ("this", "other", "median ratio", "least", "most", "sure to", "from", "to"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("so this is")
    for row in report.rows.values():
        for measure in Measure:
            ratios, medians = row.ratios(measure), row.medians(measure)
            if ratios is None or medians is None:
                continue
            interval, verdict = ratios.interval, ratios.verdict(margin)
            colour = _COLOURS.get(verdict, "default")
            sure = ["-"] * 3 if interval is None else [
                f"{interval.confidence:.0%}", _ratio(interval.low), _ratio(interval.high),
            ]  # fmt: skip
            spread = [_ratio(ratios.median), _ratio(min(ratios.values)), _ratio(max(ratios.values))]
            cells = [row.name, f"{measure}, {measure.unit}", *map(_figure, medians), *spread, *sure]
            table.add_row(*cells, f"[{colour}]{verdict}[/{colour}]", style="bold" if measure is Measure.CPU else None)
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
