"""A study file becomes cases: defaults, sites, includes, factors and what is left out."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import study, workloads
from bench.errors import StudyError
from bench.records.study import Policy, Study
from bench.records.values import Scalar
from bench.records.workload import BuiltIn, Manifest, Param
from bench.settings import KindSettings, setting
from bench.study.expand import cross

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "studies"


class Local(KindSettings, frozen=True, kw_only=True):
    """A kind with one key of its own."""

    spare: Annotated[int, setting(keyed=True)] = 0


class SparkOnly(KindSettings, frozen=True, kw_only=True):
    """A kind that runs one engine and takes a list."""

    engines = frozenset({"spark"})

    hosts: Annotated[tuple[str, ...], setting(keyed=True)]


KINDS: Mapping[str, type[KindSettings]] = {"local": Local, "cluster": SparkOnly}


def manifest(use: str, base: Path) -> Manifest:
    """A small workload of either engine."""
    return Manifest(
        name=use,
        task="job/1",
        engine="tensorflow" if use == "tf" else "spark",
        entry="main.py",
        params={
            "tolerance": Param(type="float", default=1e-6, min=0),
            "depth": Param(type="int", default=3, min=1, max=9),
            "mode": Param(type="text", default="a", choices=("a", "b")),
        },
        dataset={
            "flights": BuiltIn(),
            "small": BuiltIn(generator="rows", params={"rows": 10, "noise": 1.0}),
            "rows": BuiltIn(generator="rows", params={"rows": 99, "noise": 0.5}),
        },
    )


def load(folder: Path, text: str, **others: str) -> Study:
    """Write the files and load the first."""
    for name, content in others.items():
        (folder / f"{name}.toml").write_text(content, encoding="utf-8")
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return study.load(path, KINDS, workload=manifest)


def study_of(
    *, top: str = "", workload: str = "", environment: str = "", shape: str = "", rest: str = ""
) -> str:
    """A study of one workload and one environment with some lines more."""
    return f"""
title = "T"
workers = 1
{top}
[[workload]]
use = "job"
dataset = "flights"
{workload}
[[environment]]
kind = "local"
{environment}
{shape}
{rest}
"""


def factors(found: Study) -> list[dict[str, Scalar]]:
    return [dict(case.factors) for case in found.cases]


def test_least_study_has_all_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, study_of())
    (case,) = found.cases
    assert (found.name, found.title, found.repeats, found.seed) == ("mine", "T", 5, 0)
    assert (found.width, found.order, found.sampling) == (None, "blocks", 1.0)
    assert found.limit_time is None
    assert found.unplanned == ()
    assert (case.workload, case.use, case.engine, case.environment) == (
        "job", "job", "spark", "local",
    )  # fmt: skip
    assert case.params == {"depth": 3, "mode": "a", "tolerance": 1e-6}
    assert case.factors == {"workers": 1}
    assert (case.driver.cores, case.driver.memory) == (1, 1 << 30)
    assert case.policy == Policy(timeout=1800.0, retries=0, reuse=True, pause=0.0)
    assert (case.passes, case.warmups, case.stages) == (1, 0, "fused")
    assert found.environments[0].settings == {"spare": 0}


def test_everything_said_is_taken(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        study_of(
            top="""
repeats = 2
passes = 5
warmups = 2
seed = -7
timeout = "1 h"
retries = 1
reuse = false
pause = "2 s"
sampling = "200 ms"
limits = { time = "8 h" }
""",
            workload="""name = "label"
stages = "staged"
params = { tolerance = 1, depth = 4 }""",
            environment="""name = "here"
retries = 2
spare = 3
worker = { cores = 2, memory = "2g", cpu_limit = 0.5 }
driver = { memory = "512 MiB" }
conf = { spark.sql.shuffle.partitions = 8, "spark.ui.enabled" = false }""",
        ),
    )
    (case,) = found.cases
    assert (found.repeats, found.seed, found.limit_time) == (2, -7, 28800.0)
    assert found.sampling == 0.2
    assert (case.workload, case.environment, case.stages) == ("label", "here", "staged")
    assert (case.passes, case.warmups) == (5, 2)
    assert case.policy == Policy(timeout=3600.0, retries=2, reuse=False, pause=2.0)
    assert (case.worker.cores, case.worker.memory, case.worker.cpu_limit) == (2, 2 << 30, 0.5)
    assert case.driver.memory == 512 << 20
    assert case.conf == {"spark.sql.shuffle.partitions": "8", "spark.ui.enabled": "false"}
    assert case.params["tolerance"] == 1.0
    assert isinstance(case.params["tolerance"], float)
    assert found.environments[0].settings == {"spare": 3}


def test_repeats_by_width_and_orders(tmp_path: Path) -> None:
    found = load(tmp_path, study_of(top="repeats = { width = 0.1, at_most = 8 }"))
    assert (found.repeats, found.width) == (8, 0.1)
    found = load(tmp_path, study_of(top='repeats = { width = 0.05 }\norder = "random"'))
    assert (found.repeats, found.width, found.order) == (20, 0.05, "random")
    found = load(tmp_path, study_of(top='order = "abba"'))
    assert (found.repeats, found.width, found.order) == (6, None, "abba")


def test_studies_of_older_records_are_read(tmp_path: Path) -> None:
    text = msgspec.json.encode(load(tmp_path, study_of()))
    older = {k: v for k, v in msgspec.json.decode(text).items() if k not in ("width", "order")}
    assert msgspec.convert(older, Study, strict=False) == load(tmp_path, study_of())


def test_study_survives_json(tmp_path: Path) -> None:
    found = load(tmp_path, study_of(environment='worker = { memory = ["1g", "2g"] }'))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Study) == found


def test_lists_cross_and_name_factors_by_path(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        study_of(
            workload="params = { depth = [3, 4] }",
            environment="""workers = [1, 2]
worker = { memory = ["1 GiB", "2 GiB"] }
conf = { spark.a = [1, 2] }""",
        ),
    )
    assert len(found.cases) == 16
    assert factors(found)[0] == {
        "conf.spark.a": "1", "params.depth": 3, "worker.memory": 1 << 30, "workers": 1,
    }  # fmt: skip
    assert list(found.cases[0].factors) == sorted(found.cases[0].factors)
    assert found.cases[0].params["depth"] == 3


def test_list_of_one_is_no_factor_but_workers_always_is(tmp_path: Path) -> None:
    found = load(tmp_path, study_of(workload="params = { depth = [3] }"))
    assert factors(found) == [{"workers": 1}]


def test_datasets_are_factors_and_so_are_their_keys(tmp_path: Path) -> None:
    text = study_of(rest='[dataset.big]\ngenerator = "rows"\nrows = [100, 1_000]')
    found = load(tmp_path, text.replace('dataset = "flights"', 'dataset = ["flights", "big"]'))
    assert factors(found) == [
        {"dataset": "flights", "workers": 1},
        {"dataset": "big", "dataset.rows": 100, "workers": 1},
        {"dataset": "big", "dataset.rows": 1000, "workers": 1},
    ]
    big = found.cases[1].datasets["train"]
    assert (big.name, big.generator, dict(big.params)) == (
        "big",
        "rows",
        {"noise": 0.5, "rows": 100},
    )


def test_entry_of_a_built_in_name_replaces_its_values(tmp_path: Path) -> None:
    text = study_of(rest="[dataset.small]\nrows = 7")
    found = load(tmp_path, text.replace('"flights"', '"small"'))
    assert found.cases[0].datasets["train"].generator == "rows"
    assert found.cases[0].datasets["train"].params == {"noise": 1.0, "rows": 7}


def test_several_uses_share_their_keys(tmp_path: Path) -> None:
    text = study_of(workload="params = { depth = 5 }").replace('use = "job"', 'use = ["job", "tf"]')
    found = load(tmp_path, text)
    assert [(case.workload, case.engine) for case in found.cases] == [
        ("job", "spark"), ("tf", "tensorflow"),
    ]  # fmt: skip
    assert {case.params["depth"] for case in found.cases} == {5}


def test_label_of_a_path_is_its_last_part(tmp_path: Path) -> None:
    found = load(tmp_path, study_of().replace('"job"', '"../jobs/churn/"'))
    assert (found.cases[0].workload, found.cases[0].use) == ("churn", "../jobs/churn/")


SITE = """
[site.dc1]
kind = "local"
spare = 1
workers = [1, 2]
worker = { cores = 2, memory = "2 GiB" }
"""


def test_environment_replaces_keys_of_its_site(tmp_path: Path) -> None:
    text = study_of(environment="worker = { cores = 4 }", rest=SITE)
    found = load(tmp_path, text.replace('kind = "local"', 'use = "dc1"', 1))
    assert found.environments[0].name == "dc1"
    assert found.environments[0].settings == {"spare": 1}
    assert [case.workers for case in found.cases] == [1, 2]
    assert {(case.worker.cores, case.worker.memory) for case in found.cases} == {(4, 1 << 30)}


def test_site_is_never_run_by_itself(tmp_path: Path) -> None:
    found = load(tmp_path, study_of(rest=SITE))
    assert [one.name for one in found.environments] == ["local"]


@given(st.sets(st.sampled_from(["workers", "retries", "pause", "spare"])),
       st.sets(st.sampled_from(["workers", "retries", "pause", "spare"])))  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_nearest_layer_wins(tmp_path: Path, in_site: set[str], in_entry: set[str]) -> None:
    values = {
        "workers": ("{}", 1),
        "retries": ("{}", 2),
        "pause": ('"{} s"', 3),
        "spare": ("{}", 4),
    }

    def lines(keys: set[str], plus: int) -> str:
        return "\n".join(f"{k} = {values[k][0].format(values[k][1] + plus)}" for k in sorted(keys))

    text = f"""
title = "T"
workers = 91
[[workload]]
use = "job"
dataset = "flights"
[[environment]]
use = "s"
{lines(in_entry, 20)}
[site.s]
kind = "local"
{lines(in_site, 10)}
"""
    found = load(tmp_path, text)
    (case,) = found.cases
    default = {"workers": 91, "retries": 0, "pause": 0, "spare": 0}
    want = {
        key: value + (20 if key in in_entry else 10) if key in in_entry | in_site else default[key]
        for key, (_, value) in values.items()
    }
    assert {
        "workers": case.workers, "retries": case.policy.retries, "pause": case.policy.pause,
        "spare": found.environments[0].settings["spare"],
    } == want  # fmt: skip


def test_includes_bring_sites_and_datasets(tmp_path: Path) -> None:
    text = study_of(top='include = ["sites.toml", "more.toml"]', workload="")
    text = text.replace('kind = "local"', 'use = "dc1"').replace('"flights"', '"big"')
    found = load(
        tmp_path,
        text,
        sites='include = "more.toml"\n' + SITE,
        more='[dataset.big]\ngenerator = "rows"\nrows = 5',
    )
    assert {case.datasets["train"].params["rows"] for case in found.cases} == {5}
    assert len(found.cases) == 2


def test_what_cannot_run_is_left_out_and_listed(tmp_path: Path) -> None:
    rest = '[[environment]]\nkind = "cluster"\nhosts = ["a", "b"]'
    text = study_of(rest=rest).replace('use = "job"', 'use = ["job", "tf"]')
    found = load(tmp_path, text)
    assert [(case.workload, case.environment) for case in found.cases] == [
        ("job", "local"), ("job", "cluster"), ("tf", "local"),
    ]  # fmt: skip
    assert found.unplanned == (
        "tf on cluster: kind cluster does not run tensorflow; it runs spark",
    )
    assert list(found.environments[1].settings["hosts"]) == ["a", "b"]  # type: ignore[call-overload]


def test_on_chooses_and_the_idle_are_listed(tmp_path: Path) -> None:
    rest = '[[environment]]\nname = "other"\nkind = "local"'
    found = load(tmp_path, study_of(workload='on = "local"', rest=rest))
    assert [case.environment for case in found.cases] == ["local"]
    assert found.unplanned == ("environment other: no workload runs on it",)


AXIS = st.lists(st.integers(), min_size=1, max_size=3, unique=True).map(tuple)


@given(st.dictionaries(st.text(max_size=3), AXIS, max_size=4))
def test_crossing_yields_each_combination_once(axes: dict[str, tuple[int, ...]]) -> None:
    points = [tuple(point.items()) for point in cross(axes)]
    assert len(set(points)) == len(points) == math.prod(len(taken) for taken in axes.values())


@given(
    st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=3, unique=True),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_case_count_is_the_product(
    tmp_path: Path, workers: list[int], depth: list[int], cores: list[int], rows: list[int]
) -> None:
    text = study_of(
        workload=f"params = {{ depth = {depth} }}",
        environment=f"workers = {workers}\nworker = {{ cores = {cores} }}",
        rest=f"[dataset.small]\nrows = {rows}",
    )
    found = load(tmp_path, text.replace('"flights"', '"small"'))
    points = itertools.product(workers, cores, depth, rows)
    assert {
        (c.workers, c.worker.cores, c.params["depth"], c.datasets["train"].params["rows"])
        for c in found.cases
    } == set(points)
    assert len(found.cases) == len(workers) * len(depth) * len(cores) * len(rows)
    assert load(tmp_path, text.replace('"flights"', '"small"')) == found


def test_windows_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + study_of().replace("\n", "\r\n").encode())
    assert len(study.load(path, KINDS, workload=manifest).cases) == 1


@pytest.mark.parametrize(("name", "cases"), [("quickstart", 4), ("reference", 10)])
def test_shipped_studies(name: str, cases: int) -> None:
    found = study.load(STUDIES / f"{name}.toml", KINDS, workload=workloads.manifest)
    assert len(found.cases) == cases
    assert found.unplanned == ()
    assert {case.params["tolerance"] for case in found.cases} == {1e-10}
    for shape in (case.worker for case in found.cases):
        assert (shape.cores, shape.memory) == (1, 2 << 30)


def test_skeleton_is_a_study(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text(study.skeleton(), encoding="utf-8")
    found = study.load(path, KINDS, workload=workloads.manifest)
    assert {case.workload for case in found.cases} == set(workloads.names())


def test_too_many_cases_are_refused_before_they_are_made(tmp_path: Path) -> None:
    many = list(range(1, 1001))
    with pytest.raises(StudyError, match="1,000,000 cases; at most 10,000 are allowed"):
        load(tmp_path, study_of(environment=f"workers = {many}\nworker = {{ cores = {many} }}"))
