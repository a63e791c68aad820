"""Which runs count, and which of them belong together: runs -> curves -> cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec import UNSET

from bench.analysis.runs.headline import headline
from bench.analysis.runs.metrics import TIME_RULE, MetricRule, rule_for
from bench.records.metrics import TIME
from bench.records.results import Bundle, Run
from bench.records.study import Case
from bench.records.values import Scalar

EARLIER = "an earlier study: its cell is not part of the current one"


class CellRuns(msgspec.Struct, kw_only=True):
    """The runs of one cell; ``counted`` are the latest ok ones by key, in order of their ids."""

    workers: int
    runs: list[Run]
    counted: list[Run]


class CurveRuns(msgspec.Struct, kw_only=True):
    """The cells of one curve by worker count; ``label`` names it, and no other of the study.

    ``case`` is None where no session tells it; ``metric`` is its headline.
    """

    label: str
    case: Case | None
    groups: list[CellRuns]
    metric: MetricRule = TIME_RULE

    @property
    def counted(self) -> list[Run]:
        """Return the runs that make the curve's figures."""
        return [run for group in self.groups for run in group.counted]

    @property
    def task(self) -> str | None:
        """Return the task that its runs report, if they do and agree."""
        tasks = {run.digests.task for group in self.groups for run in group.runs if run.digests}
        return tasks.pop() if len(tasks) == 1 else None


class Selection(msgspec.Struct, kw_only=True):
    """All runs in the order of their ids, the curves that they make, and why some do not count
    (run id -> reason). ``planned`` is the number of planned runs, None where nobody says.

    ``metric`` is the headline, which ``bundles`` (by digest) declare.
    """

    runs: list[Run]
    lines: list[CurveRuns]
    why_not: dict[str, str]
    planned: int | None = None
    metric: str = TIME
    bundles: Mapping[str, Bundle] = {}

    def rule(self, run: Run) -> MetricRule:
        """Return how the headline metric of a run is read."""
        return rule_for(self.metric, [run], self.bundles)


def select(
    cases: Mapping[str, Case],
    runs: Iterable[Run],
    planned: Collection[str] | None = None,
    *,
    metric: str = TIME,
    bundles: Mapping[str, Bundle] | None = None,
) -> Selection:
    """Group runs into curves and cells, and say of each run that does not count why.

    ``cases`` maps a digest to the case that runs name by it.
    ``planned`` are the keys of the study's cells; runs of other cells are an earlier study.
    Without it, of two cells at the same place of a curve the one that ran last is current.
    ``metric`` is the headline: a run that does not report it does not count. ``bundles`` (by
    digest) say how it is read.
    """
    bundles = bundles or {}
    ordered = sorted({run.run: run for run in runs}.values(), key=lambda run: run.run)
    why_not = _reasons(ordered, metric, bundles)
    found: dict[str, tuple[Run, dict[tuple[int, str, str], list[Run]]]] = {}
    for run in ordered:
        if planned is not None and run.cell.key not in planned:
            why_not[run.run] = EARLIER
            continue
        _, cells = found.setdefault(run.cell.curve, (run, {}))
        bundle = run.digests.bundle if run.digests else ""
        cells.setdefault((run.cell.workers, run.cell.series, bundle), []).append(run)
    lines = [
        CurveRuns(label="", case=cases.get(first.cell.case), groups=_current(cells, why_not))
        for first, cells in found.values()
    ]
    for line in lines:
        runs_of = [run for group in line.groups for run in (*group.counted, *group.runs)]
        line.metric = rule_for(metric, runs_of, bundles)
    lines.sort(key=_order)
    _name(lines)
    return Selection(
        runs=ordered,
        lines=lines,
        why_not=why_not,
        planned=None if planned is None else len(planned),
        metric=metric,
        bundles=bundles,
    )


def _reasons(ordered: Sequence[Run], metric: str, bundles: Mapping[str, Bundle]) -> dict[str, str]:
    """Return why runs do not count, as far as a run and its cell's other attempts tell."""
    latest = {run.cell.key: run.run for run in ordered if run.status == "ok"}
    what = "time of its work" if metric == TIME else metric
    reasons: dict[str, str] = {}
    for run in ordered:
        if run.status != "ok":
            reasons[run.run] = run.status
        elif latest[run.cell.key] != run.run:
            reasons[run.run] = f"superseded by {latest[run.cell.key]}"
        elif headline(run, rule_for(metric, [run], bundles)) is None:
            reasons[run.run] = f"it reports no {what} that counts"
    return reasons


def _current(
    cells: Mapping[tuple[int, str, str], list[Run]], why_not: dict[str, str]
) -> list[CellRuns]:
    """Return one group a worker count: the one that ran last, with runs that died too early to
    have a bundle digest; the others are marked in ``why_not``.
    """
    groups = []
    for workers in sorted({key[0] for key in cells}):
        here = {key: runs for key, runs in cells.items() if key[0] == workers}
        known = {key: runs for key, runs in here.items() if key[2]} or here
        current = max(known, key=lambda key: known[key][-1].run)
        runs: list[Run] = []
        for key, members in here.items():
            if key == current or (not key[2] and key[1] == current[1]):
                runs.extend(members)
            else:
                for run in members:
                    why_not[run.run] = f"{EARLIER} (its cell was changed and run again)"
        runs.sort(key=lambda run: run.run)
        counted = [run for run in runs if run.run not in why_not]
        groups.append(CellRuns(workers=workers, runs=runs, counted=counted))
    return groups


def plain(value: object) -> bytes:
    """Return a value as JSON with sorted keys, to compare and sort by."""
    return msgspec.json.encode(value, order="sorted")


def others(factors: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the factors besides the worker count, sorted by path."""
    return {path: factors[path] for path in sorted(factors) if path != "workers"}


def _order(line: CurveRuns) -> tuple[str, str, str, str, bytes]:
    """Sort curves by task, engine, workload, environment and factors."""
    cell = line.groups[0].runs[0].cell
    engine = line.case.engine if line.case else ""
    factors = plain(others(cell.factors))
    return (line.task or "", engine, cell.workload, cell.environment, factors)


def _name(lines: Sequence[CurveRuns]) -> None:
    """Label each curve by what tells it from the others: workload, environment, factors, rest."""
    cells = [line.groups[0].runs[0].cell for line in lines]
    several = len({cell.environment for cell in cells}) > 1
    for line, cell in zip(lines, cells, strict=True):
        parts = [cell.workload, *([f"on {cell.environment}"] if several else [])]
        parts += [f"{path} = {value}" for path, value in others(cell.factors).items()]
        line.label = ", ".join(parts)
    for label in {line.label for line in lines}:
        same = [line for line in lines if line.label == label]
        if len(same) > 1:
            _tell_apart(same)


def _tell_apart(lines: Sequence[CurveRuns]) -> None:
    """Add to equal labels the settings in which the cases differ, and a number where that is not
    enough.
    """
    settings = [flat(line.case) for line in lines]
    names = sorted({name for one in settings for name in one})
    telling = [name for name in names if len({str(one.get(name)) for one in settings}) > 1]
    seen: Counter[str] = Counter()
    for line, one in zip(lines, settings, strict=True):
        words = [f"{name} = {one.get(name, 'not given')}" for name in telling[:3]]
        label = ", ".join([line.label, *words])
        seen[label] += 1
        line.label = label if seen[label] == 1 else f"{label} ({seen[label]})"


def flat(case: Case | None) -> dict[str, Scalar]:
    """Return a case's settings besides worker count and factors, by path."""
    if case is None:
        return {}
    found: dict[str, Scalar] = {}
    for role, data in case.datasets.items():
        prefix = "dataset" if len(case.datasets) == 1 else f"dataset.{role}"
        found[f"{prefix}.name"] = data.name
        if data.generator is not None:
            found[f"{prefix}.generator"] = data.generator
        if data.source is not None:
            found[f"{prefix}.uri"] = data.source.uri
        found |= {f"{prefix}.{name}": value for name, value in data.params.items()}
    found |= {f"params.{name}": value for name, value in case.params.items()}
    found |= {f"conf.{name}": value for name, value in case.conf.items()}
    found |= {f"versions.{name}": value for name, value in case.versions.items()}
    found |= {f"machine.{name}": value for name, value in case.machines.items()}
    found |= {"passes": case.passes, "stages": case.stages}
    for role, shape in (("worker", case.worker), ("driver", case.driver)):
        found |= {f"{role}.cores": shape.cores, f"{role}.memory": shape.memory}
        if shape.cpu_limit is not None:
            found[f"{role}.cpu_limit"] = shape.cpu_limit
        if shape.machine is not UNSET:
            found[f"{role}.machine"] = shape.machine
        if shape.gpus is not UNSET and shape.gpu is not UNSET:
            found |= {f"{role}.gpus": shape.gpus, f"{role}.gpu": shape.gpu}
    return found
