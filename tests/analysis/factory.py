"""Synthetic records with a known truth, for the tests of analysis and report."""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bench.analysis.runs import representatives
from bench.analysis.runs.grouping import select
from bench.analysis.runs.types import Terms
from bench.analysis.study import analyse
from bench.analysis.study_types import StudyAnalysis, StudyRuns
from bench.records import identity
from bench.records.metrics import TIME
from bench.records.results import (
    Bundle,
    Digests,
    Machine,
    Quality,
    QualityLimits,
    Run,
    Session,
    StageTime,
    Vector,
)
from bench.records.study import Case, Dataset, EnvironmentSpec, Shape, Study
from bench.records.values import Scalar
from bench.report.terminal import print_analysis

ENGINES = {"spark-logreg": "spark", "tensorflow-logreg": "tensorflow"}
PARAMS: Mapping[str, Scalar] = {"tolerance": 1e-10, "regularization": 0.01, "max_iterations": 500}


def digest(*parts: object) -> str:
    """Return a sha256 of some words."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


MACHINE = Machine(
    digest=digest("machine"), cpu_model="Example CPU", cores=8, memory=16 << 30, os="Linux 6"
)
TASK = "logistic-regression/1"
LIMITS = QualityLimits(
    tolerances={"objective": 1e-6, "auc": 1e-4, "vector": 1e-9}, requires={"converged": True}
)
CASES: dict[str, Case] = {}  # every case that a run was made of, by digest
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def quality(precision: str = "float64", **changes: Any) -> Quality:
    """Return the quality of the example, with some figures changed; None leaves one out."""
    figures: dict[str, Any] = {
        "objective": 0.412345678,
        "auc": 0.7612,
        "iterations": 21.0,
        "converged": True,
        "vector": Vector(count=3, norm=2.0, projections=(0.5, -0.25)),
    } | changes
    stated = {name: value for name, value in figures.items() if value is not None}
    return Quality(figures=stated, precision=precision)


QUALITY = quality()


def case(workload: str = "spark-logreg", workers: int = 1, **changes: Any) -> Case:
    """Return a case of the example study."""
    plain = Case(
        workload=workload,
        use=workload,
        program=workload,
        task=TASK,
        kind="local",
        engine=ENGINES.get(workload, "spark"),
        environment="here",
        workers=workers,
        worker=Shape(cores=1, memory=2 << 30),
        driver=Shape(),
        params=PARAMS,
        datasets={"train": Dataset(name="flights")},
        factors={"workers": workers},
    )
    place = changes.get("environment", "here")  # environments of one kind differ in their settings
    settings = {} if place == "here" else {"at": place}
    return msgspec.structs.replace(plain, **{"settings": settings, **changes})


def session(cases: Sequence[Case], name: str = "s1", **changes: Any) -> Session:
    """Return a session whose study has these cases."""
    study = Study(
        name="example",
        title="Spark and TensorFlow on an example machine",
        seed=7,
        repeats=5,
        environments=(EnvironmentSpec(name="here", kind="local"),),
    )
    plain = Session(
        session=name,
        campaign="c1",
        study=study,
        started_at=BEGUN,
        host=digest("host"),
        benchcast="0.1.0",
    )
    return msgspec.structs.replace(plain, **changes)


class Maker:
    """Makes runs with rising ids."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def run(self, of: Case, seconds: float = 10.0, repeat: int = 0, **changes: Any) -> Run:
        """Return an ok run of a case that took so many seconds (one pass)."""
        line = identity.case_line(of)
        CASES[line.digest] = line.case
        plain = Run(
            run=f"20260102-{next(self._numbers):06d}",
            cell=identity.cells(of, repeat + 1)[repeat],
            attempt=1,
            session="s1",
            cluster="k1",
            status="ok",
            started_at=BEGUN,
            machines=(MACHINE.digest,),
            phases={"provision": 0.5, "launch": 3.0, "work": seconds},
            stages=(
                StageTime(name="source", number=0, wall=seconds * 0.2),
                StageTime(name="train", number=0, wall=seconds * 0.7),
            ),
            passes=(seconds,),
            quality=QUALITY,
            workers_wanted=of.workers,
            workers_seen=of.workers,
            digests=Digests(
                task=TASK,
                bundle=digest(of.use),
                params=digest(sorted(of.params.items())),
                datasets={role: digest(data.name) for role, data in of.datasets.items()},
            ),
            versions={of.engine: "4.1.0", "python": "3.11.7"},
        )
        return msgspec.structs.replace(plain, **changes)


def analysis_of(
    sessions: Iterable[Session],
    machines: Iterable[Machine],
    runs: Iterable[Run],
    *,
    cases: Mapping[str, Case] | None = None,
    planned: Collection[str] | None = None,
    allow: Collection[str] = (),
    metric: str = TIME,
    bundles: Mapping[str, Bundle] | None = None,
    **files: Any,
) -> StudyAnalysis:
    """Return the analysis of these runs; ``files`` are further fields of StudyRuns.

    Without ``cases`` they are this factory's; without a session nothing is known of them.
    """
    known = tuple(sessions)
    cases = cases if cases is not None else (CASES if known else {})
    data = StudyRuns(
        selection=select(cases, runs, planned, metric=metric, bundles=bundles),
        sessions=known,
        cases=cases,
        machines={one.digest: one for one in machines},
        **{"limits": {TASK: LIMITS}, **files},
    )
    return analyse(data, Terms(allow=allow))


def drawn_runs(runs: Iterable[Run]) -> list[str]:
    """Return the ids of the runs whose samples the analysis looks at."""
    return [run.run for run in representatives.of_curves(select(CASES, runs).lines)]


def printed(analysis: StudyAnalysis) -> str:
    """Return what ``report`` prints where it is no terminal."""
    from rich.console import Console

    out = io.StringIO()
    print_analysis(analysis, Console(file=out, width=160))
    return out.getvalue()


def failed(run: Run, reason: str = "executor lost", status: str = "failed") -> Run:
    """Return the run as one that did not end ok: no passes, stages, quality."""
    return msgspec.structs.replace(
        run, status=status, reason=reason, passes=(), stages=(), phases={}, quality=None
    )


def study(
    repeats: int = 5, counts: Sequence[int] = (1, 2), seed: int = 1
) -> tuple[list[Session], list[Machine], list[Run]]:
    """Return sessions, machines and lognormal runs: Spark speeds up 1.3x a doubling, TF 1.7x."""
    rng, make = random.Random(seed), Maker()
    truth = {"spark-logreg": (20.0, 1.3), "tensorflow-logreg": (8.0, 1.7)}
    cases = [case(name, n) for name in truth for n in counts]
    runs = []
    for repeat, one in itertools.product(range(repeats), cases):
        first, gain = truth[one.workload]
        middle = first / gain ** math.log2(one.workers)
        runs.append(make.run(one, middle * rng.lognormvariate(0, 0.03), repeat))
    return [session(cases)], [MACHINE], runs


def gpus(seconds: int = 30) -> dict[str, list[object]]:
    """Return a GPU sampler's columns of two GPUs, of which the second does not say its power."""
    names = ("t", "wall_ns", "scope", "utilization", "memory_used", "power", "energy", "throttle")
    found: dict[str, list[object]] = {name: [] for name in names}
    for t, scope in itertools.product(range(seconds), ("gpu0", "gpu1")):
        first = scope == "gpu0"
        row = (0.02 + t, t * 10**9, scope, 0.5 + 0.4 * math.sin(t / 4), 2.0**33 + t * 2.0**26)
        power = (250.0 + t if first else None, 250.0 * t if first else None, "")
        for name, value in zip(names, (*row, *power), strict=True):
            found[name].append(value)
    return found


def samples(seconds: int = 30) -> dict[str, list[object]]:
    """Return samples' columns of two scopes, with one gap."""
    found: dict[str, list[object]] = {
        name: [] for name in ("t", "scope", "cpu_user", "cpu_system", "memory_used")
    }
    for t, scope in itertools.product(range(seconds), ("host", "worker-0")):
        gap = t == 5
        found["t"].append(100.0 + t)
        found["scope"].append(scope)
        found["cpu_user"].append(None if gap else 1 + math.sin(t / 4) ** 2)
        found["cpu_system"].append(0.1)
        found["memory_used"].append((2 if scope == "host" else 1) * 2**30 + t * 2**24)
    return found
