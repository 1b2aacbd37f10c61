"""The figures of one run, and the table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import quantiles

from reading import NS_PER_MS, Reading
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles, in milliseconds; None when there was nothing to measure."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. `README.md` says what each figure means."""

    what: str
    streams: int
    complete: int
    tokens: int
    frames: int
    seconds: float
    tokens_per_second: float
    first_token_added_ms: Spread
    token_age_ms: Spread
    double_late_ms: Spread
    cpu_seconds: Mapping[str, float]
    faults: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return all figures, and the CPU per token of the system without the load's two ends."""
        return {**asdict(self), "system_cpu_us_per_token": self.system_cpu_us_per_token}

    @property
    def system_cpu_us_per_token(self) -> float | None:
        """CPU microseconds per token, of all processes but the client and the double; None when not known."""
        system = [seconds for name, seconds in self.cpu_seconds.items() if name not in {"client", "double"}]
        return sum(system) / self.tokens * 1e6 if system and self.tokens else None


def spread(values: Sequence[float]) -> Spread:
    """Return the percentiles of the values."""
    if not values:
        return Spread()
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return Spread(*(round(value, 2) for value in (cuts[49], cuts[94], cuts[98], max(values))))


def figures(what: str, readings: Sequence[Reading], *, delay: float, rate: float, cpu: Mapping[str, float]) -> Figures:
    """Sum up a run; `delay` (seconds) and `rate` (tokens per second) are what the double was asked for."""
    tokens = sum(len(reading.tokens) for reading in readings)
    first_sent = min(reading.sent_at for reading in readings)
    seconds = max(0, *(reading.last_at - first_sent for reading in readings)) / NS_PER_MS / 1e3
    first = [reading.first_token - delay * 1e3 for reading in readings if reading.first_token is not None]
    late = [
        (stamp - reading.stamps[0]) / NS_PER_MS - number * 1e3 / rate
        for reading in readings
        for number, stamp in enumerate(reading.stamps)
        if rate
    ]
    return Figures(
        what=what,
        streams=len(readings),
        complete=sum(not reading.faults for reading in readings),
        tokens=tokens,
        frames=sum(reading.frames for reading in readings),
        seconds=round(seconds, 3),
        tokens_per_second=round(tokens / seconds, 1) if seconds else 0.0,
        first_token_added_ms=spread(first),
        token_age_ms=spread([age for reading in readings for age in reading.ages]),
        double_late_ms=spread(late),
        cpu_seconds={name: round(used, 3) for name, used in sorted(cpu.items())},
        faults=dict(Counter(fault for reading in readings for fault in reading.faults)),
    )


def print_table(runs: Sequence[Figures]) -> None:
    """Print all runs in one table, and what went wrong below it."""
    table = Table(caption="bench/README.md says what each figure means")
    table.add_column("")
    for run in runs:
        table.add_column(run.what, justify="right")
    columns = [_column(run) for run in runs]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "-") for column in columns))
    console = Console()
    console.print(table)
    for run in runs:
        for fault, count in run.faults.items():
            console.print(f"{run.what}: {count} times: {fault}", style="red", markup=False)


def _column(run: Figures) -> dict[str, str]:
    per_token = run.system_cpu_us_per_token
    spreads = {
        "first token added": run.first_token_added_ms,
        "token age": run.token_age_ms,
        "double late": run.double_late_ms,
    }
    return {
        "streams complete": f"{run.complete} of {run.streams}",
        "tokens/s": f"{run.tokens_per_second:.0f}",
        "tokens per frame": f"{run.tokens / run.frames:.2f}" if run.frames else "-",
        **{
            f"{name} {percentile}, ms": "-" if value is None else f"{value:.1f}"
            for name, values in spreads.items()
            for percentile, value in asdict(values).items()
        },
        **({} if per_token is None else {"CPU µs per token, system": f"{per_token:.0f}"}),
        **{f"CPU s, {part}": f"{seconds:.2f}" for part, seconds in run.cpu_seconds.items()},
    }
