"""What Prometheus is told about runs: names and units after its conventions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from muster._journal.measures import BINS_AN_OCTAVE
from muster._watch.sums.moment import Moment
from muster._watch.sums.stream import StreamStanding
from muster._watch.sums.tables import MachineRow
from muster._watch.sums.worker import WorkerSums

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_EDGES: Final = range(-13, 9)
"""Powers of two, in seconds: exact edges of bins, from an eighth of a millisecond to four minutes."""

_RUN: Final = ["run"]
_STEP: Final = ["run", "step", "function"]
_SINK: Final = ["run", "sink"]
_SOURCE: Final = ["run", "source"]
_WORKER: Final = ["run", "worker", "machine"]
_MACHINE: Final = ["run", "machine"]
_ACTIVITIES: Final = ("read", "function", "sorting", "write", "transfer", "lost", "waiting")


_Of = TypeVar("_Of")
_Tellers = Mapping[str, tuple[str, Callable[[_Of], float | None]]]
"""Names of metrics, each with its help and how its value is found."""


def text(moments: Iterable[Moment]) -> str:
    """Write what there is to tell about some runs."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Runs([*moments]))
    return generate_latest(registry).decode()


class _Runs(Collector):
    def __init__(self, moments: Sequence[Moment]) -> None:
        self._moments = moments

    def collect(self) -> Iterator[Metric]:
        yield from _of_runs(self._moments)
        yield from _of_streams(self._moments)
        yield from _of_steps(self._moments)
        yield from _of_workers(self._moments)
        yield from _of_machines(self._moments)


_OF_A_RUN: Final[_Tellers[Moment]] = {
    "muster_run_start_time_seconds": ("When the run began, since the epoch.", lambda moment: moment.view.time.begun),
    "muster_run_duration_seconds": ("Time at work, without pauses between attempts.", lambda moment: moment.took),
    "muster_run_going": ("1 while the process of the run is alive.", lambda moment: float(moment.is_going)),
    "muster_run_rows_expected": (
        "Rows of the input, once they are counted.",
        lambda moment: moment.view.standing.rows_total,
    ),
    "muster_run_rows_settled": ("Rows that are done for good.", lambda moment: moment.view.standing.rows_done),
    "muster_run_rows_written": ("Rows that are in the output so far.", lambda moment: moment.view.standing.rows_out),
    "muster_run_progress_ratio": ("Share of the rows that is done.", lambda moment: moment.share),
    "muster_run_workers": ("Workers that are there.", lambda moment: moment.there),
    "muster_run_tasks_running": ("Tasks that are with workers.", lambda moment: moment.view.standing.running),
    "muster_run_cost_dollars": ("What the machines have cost.", lambda moment: moment.dollars),
    "muster_run_efficiency_ratio": (
        "Share of their time in which workers were at tasks.",
        lambda moment: moment.spent.busy_share,
    ),
}
"""The gauges of a run."""


def _of_runs(moments: Sequence[Moment]) -> Iterator[Metric]:
    info = InfoMetricFamily("muster_run", "What a run does, to what, and what became of it so far.", labels=_RUN)
    for moment in moments:
        told = {
            "function": " | ".join(moment.names),
            "input": moment.inputs,
            "output": str(moment.view.job.get("output", "")),
        }
        info.add_metric([moment.view.run], {**told, "state": str(moment.state), "status": moment.status})
    yield info
    for name, (help_text, tell) in _OF_A_RUN.items():
        gauge = GaugeMetricFamily(name, help_text, labels=_RUN)
        for moment in moments:
            value = tell(moment)
            if value is not None:
                gauge.add_metric([moment.view.run], value)
        yield gauge
    left = GaugeMetricFamily(
        "muster_run_remaining_seconds", "Time until it is done, at least and at most.", labels=[*_RUN, "bound"]
    )
    bad = CounterMetricFamily("muster_bad_rows", "Rows that were rejected.", labels=_RUN)
    retries = CounterMetricFamily("muster_retries", "Tasks that were tried again.", labels=[*_RUN, "reason"])
    for moment in moments:
        for bound, seconds in zip(("low", "high"), moment.left or (), strict=False):
            left.add_metric([moment.view.run, bound], seconds)
        bad.add_metric([moment.view.run], moment.bad_rows)
        for reason, count in moment.view.log.retries.items():
            retries.add_metric([moment.view.run, reason], count)
    yield from (left, bad, retries)


_OF_A_STREAM: Final[_Tellers[StreamStanding]] = {
    "muster_stream_lag_rows": ("Rows that have come and are in no epoch that is committed.", lambda one: one.rows),
    "muster_stream_lag_bytes": ("Their bytes.", lambda one: one.bytes),
    "muster_stream_lag_seconds": ("For how long the oldest of them have waited.", lambda one: one.seconds),
    "muster_stream_checkpoint_age_seconds": ("Since when no epoch was committed.", lambda one: one.checkpoint_age),
    "muster_stream_keys": ("Keys that have a state.", lambda one: one.keys),
    "muster_stream_state_bytes": ("Size of the log of states.", lambda one: one.state_bytes),
    "muster_stream_watermark_seconds": ("Up to when windows are closed, since 1970.", lambda one: one.watermark),
    "muster_stream_late_rows": (
        "Rows that came too late for their windows.",
        lambda one: one.late_rows if one.watermark is not None else None,
    ),
    "muster_stream_skipped_rows": ("Rows that were gone before they were read.", lambda one: one.skipped_rows),
    "muster_stream_unacknowledged_rows": ("Rows that no receiver has acknowledged.", lambda one: one.unacknowledged),
    "muster_stream_unacknowledged_seconds": (
        "For how long the oldest of them have waited.",
        lambda one: one.unacknowledged_seconds,
    ),
}
"""The gauges of a stream."""


def _of_streams(moments: Sequence[Moment]) -> Iterator[Metric]:
    streams = [(moment.view.run, moment.stream) for moment in moments if moment.stream is not None]
    epochs = CounterMetricFamily("muster_stream_epochs", "Epochs that are committed.", labels=_RUN)
    waits = HistogramMetricFamily(
        "muster_stream_row_latency_seconds", "From when a row came until it was committed.", labels=_RUN
    )
    for run, stream in streams:
        epochs.add_metric([run], stream.epochs)
        waits.add_metric([run], _buckets(stream.waits), stream.waits_seconds)
    yield from (epochs, waits)
    for name, (help_text, tell) in _OF_A_STREAM.items():
        gauge = GaugeMetricFamily(name, help_text, labels=_RUN)
        for run, stream in streams:
            value = tell(stream)
            if value is not None:
                gauge.add_metric([run], value)
        yield gauge
    rows = GaugeMetricFamily("muster_sink_unacknowledged_rows", "Rows that it has not acknowledged.", labels=_SINK)
    seconds = GaugeMetricFamily(
        "muster_sink_unacknowledged_seconds", "For how long the oldest of them have waited.", labels=_SINK
    )
    for run, stream in streams:
        for sink in stream.sinks:
            rows.add_metric([run, sink.name], sink.rows)
            seconds.add_metric([run, sink.name], sink.seconds)
    yield from (rows, seconds)
    behind = GaugeMetricFamily("muster_source_lag_rows", "Rows of a source that are not done.", labels=_SOURCE)
    waited = GaugeMetricFamily(
        "muster_source_lag_seconds", "For how long the oldest of them have waited.", labels=_SOURCE
    )
    away = GaugeMetricFamily("muster_source_away", "1 where nothing can come from it just now.", labels=_SOURCE)
    for run, stream in streams:
        for source in stream.sources:
            if source.rows is not None:
                behind.add_metric([run, source.name], source.rows)
            waited.add_metric([run, source.name], source.seconds)
            away.add_metric([run, source.name], bool(source.away))
    yield from (behind, waited, away)


def _of_steps(moments: Sequence[Moment]) -> Iterator[Metric]:
    rows_in = CounterMetricFamily("muster_step_input_rows", "Rows that went into a step.", labels=_STEP)
    rows_out = CounterMetricFamily("muster_step_output_rows", "Rows that came out of a step.", labels=_STEP)
    calls = HistogramMetricFamily("muster_batch_duration_seconds", "How long calls of a function took.", labels=_STEP)
    for moment in moments:
        for row in moment.steps:
            labels = [moment.view.run, str(row.number), row.name]
            rows_in.add_metric(labels, row.figures.rows_in)
            rows_out.add_metric(labels, row.figures.rows_out)
            calls.add_metric(labels, _buckets(row.figures.bins), row.seconds)
    yield from (rows_in, rows_out, calls)


def _buckets(bins: Mapping[int, int]) -> list[tuple[str, float]]:
    """Count calls, or rows, that took less than each edge, and all."""
    counted = [
        (str(2.0**edge), float(sum(count for number, count in bins.items() if number < edge * BINS_AN_OCTAVE)))
        for edge in _EDGES
    ]
    return [*counted, ("+Inf", float(sum(bins.values())))]


def _of_workers(moments: Sequence[Moment]) -> Iterator[Metric]:
    sums: _Tellers[WorkerSums] = {
        "muster_worker_input_rows": ("Rows that a worker has read.", lambda worker: worker.rows_in),
        "muster_worker_output_rows": ("Rows that a worker has written.", lambda worker: worker.rows_out),
        "muster_worker_input_bytes": ("Bytes of input that a worker has read.", lambda worker: worker.bytes_in),
        "muster_worker_output_bytes": ("Bytes of output that a worker has written.", lambda worker: worker.bytes_out),
        "muster_worker_tasks": ("Tasks that a worker has done.", lambda worker: worker.tasks),
        "muster_worker_cpu_seconds": ("Time of the processor that its tasks took.", lambda worker: worker.cpu),
    }
    for name, (help_text, tell) in sums.items():
        counter = CounterMetricFamily(name, help_text, labels=_WORKER)
        for labels, worker in _workers(moments):
            counter.add_metric(labels, tell(worker) or 0)
        yield counter
    spent = CounterMetricFamily(
        "muster_worker_activity_seconds", "What a worker's time went into.", labels=[*_WORKER, "activity"]
    )
    memory = GaugeMetricFamily("muster_worker_memory_bytes", "What a worker held last.", labels=_WORKER)
    for labels, worker in _workers(moments):
        for activity in _ACTIVITIES:
            spent.add_metric([*labels, activity], getattr(worker.seconds, activity))
        memory.add_metric(labels, worker.memory)
    yield from (spent, memory)


def _workers(moments: Sequence[Moment]) -> Iterator[tuple[list[str], WorkerSums]]:
    for moment in moments:
        for worker in moment.ordered():
            yield [moment.view.run, worker.name, worker.machine], worker


def _of_machines(moments: Sequence[Moment]) -> Iterator[Metric]:
    gauges: _Tellers[MachineRow] = {
        "muster_machine_workers": ("Workers of a machine that are there.", lambda row: row.there),
        "muster_machine_cpu_ratio": ("Share of its processor that is busy.", lambda row: _of_load(row, "cpu")),
        "muster_machine_memory_used_bytes": ("Memory in use.", lambda row: _of_load(row, "memory")),
        "muster_machine_memory_size_bytes": ("Memory that it has.", lambda row: _of_load(row, "memory_total")),
        "muster_machine_disk_free_bytes": ("Room on its disk.", lambda row: _of_load(row, "disk_free")),
        "muster_machine_lease_remaining_seconds": ("How long it lives unless renewed.", lambda row: row.lease_left),
    }
    for name, (help_text, tell) in gauges.items():
        gauge = GaugeMetricFamily(name, help_text, labels=_MACHINE)
        for moment in moments:
            for row in moment.machines:
                value = tell(row)
                if value is not None:
                    gauge.add_metric([moment.view.run, row.machine.name], value)
        yield gauge


def _of_load(row: MachineRow, name: str) -> float | None:
    return float(getattr(row.machine.load, name)) if row.machine.load is not None else None
