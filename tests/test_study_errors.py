"""Every mistake in a study is one line: file, key, what is wrong, what is allowed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pytest

from bench import study, workloads
from bench.errors import BenchError, StudyError, WorkloadError
from bench.records.workload import BuiltIn, Manifest, Param
from bench.settings import KindSettings, setting

GOOD = """\
title = "T"
workers = 1
#top
[[workload]]
use = "job"
dataset = "flights"
#workload
[[environment]]
kind = "local"
#environment
[site.dc1]
kind = "local"
#site
[dataset.big]
generator = "rows"
#dataset
"""


class Local(KindSettings, frozen=True, kw_only=True):
    """A kind with one key of its own."""

    spare: Annotated[int, setting(keyed=True)] = 0


class SparkOnly(KindSettings, frozen=True, kw_only=True):
    """A kind that runs one engine and has a required key."""

    engines = frozenset({"spark"})

    hosts: Annotated[tuple[str, ...], setting(keyed=True)]


KINDS: Mapping[str, type[KindSettings]] = {"local": Local, "cluster": SparkOnly}


def manifest(use: str, base: Path) -> Manifest:
    """A small workload of either engine; other names are looked for among ours."""
    if use not in ("job", "tf", "./job"):
        return workloads.manifest(use, base)
    return Manifest(
        name=use,
        task="job/1",
        engine="tensorflow" if use == "tf" else "spark",
        entry="main.py",
        params={"depth": Param(type="int", default=3, min=1, max=9)},
        dataset={
            "flights": BuiltIn(),
            "small": BuiltIn(generator="rows", params={"rows": 10}),
        },
    )


def message(folder: Path, text: str, **others: str) -> str:
    """Load a bad study and return its error without the folder."""
    for name, content in others.items():
        (folder / f"{name}.toml").write_text(content, encoding="utf-8")
    path = folder / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BenchError) as caught:
        study.load(path, KINDS, workload=manifest)
    assert isinstance(caught.value, (StudyError, WorkloadError))
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{folder}/", "")


WHOLE = "a whole number from {} on is"
REPEATS = f"{WHOLE.format(1)}, or {{ width = 0.05, at_most = 20 }}"
WIDTH = (
    "the interval's width (high end - low end) as a share of its middle is, above 0 up to 1: "
    "0.05 is 5 %"
)
HALF = 'leaves half a pair; an even number is allowed with order = "abba"'
DURATION = 'a number with ms, s, min, h or d: "90 s", "30 min", "1 h 30 min" is allowed'
SAMPLING = "a duration from 100 ms to 1 min is"
MEMORY = 'a number with B, KiB, MiB, GiB, TiB, kB, MB, GB, TB or k, m, g, t: "2 GiB", "2g"'
TOP = (
    "title, include, workers, repeats, passes, warmups, seed, order, parallel, "
    "sampling, metric, timeout, retries, reuse, pause, limits, site, dataset, workload, environment"
)
ENVIRONMENT = (
    "name, use, kind, workers, timeout, retries, reuse, pause, worker, driver, conf, spare"
)
OURS = "set `workers`, `worker` and `driver` instead"

ADDED = [
    ("top", "repeat = 5", f"repeat: unknown key; did you mean 'repeats'? allowed: {TOP}"),
    ("top", 'plan = "adaptive"', f"plan: unknown key; allowed: {TOP}"),
    ("top", 'repeats = "five"', f'repeats: "five" is not allowed; {REPEATS}'),
    ("top", "repeats = 0", f"repeats: 0 is not allowed; {REPEATS}"),
    ("top", "repeats = true", f"repeats: true is not allowed; {REPEATS}"),
    ("top", "repeats = [3, 5]", f"repeats: [3, 5] is not allowed; {REPEATS}"),
    ("top", "repeats = 2.0", f"repeats: 2.0 is not allowed; {REPEATS}"),
    ("top", f"repeats = {10**20}", f"repeats: {10**20} is not allowed; {REPEATS}"),
    ("top", "repeats = {}", "repeats.width: missing; it is required"),
    ("top", "repeats = { at_most = 20 }", "repeats.width: missing; it is required"),
    ("top", "repeats = { width = 5 }", f"repeats.width: 5 is not allowed; {WIDTH}"),
    ("top", "repeats = { width = 0 }", f"repeats.width: 0 is not allowed; {WIDTH}"),
    ("top", "repeats = { width = nan }", f"repeats.width: NaN is not allowed; {WIDTH}"),
    ("top", 'repeats = { width = "5 %" }', f'repeats.width: "5 %" is not allowed; {WIDTH}'),
    ("top", "repeats = { width = 0.05, at_most = 2 }",
     f"repeats.at_most: 2 is not allowed; {WHOLE.format(3)}"),
    ("top", "repeats = { widht = 0.05 }",
     "repeats.widht: unknown key; did you mean 'width'? allowed: width, at_most"),
    ("top", 'order = "ABBA"',
     'order: "ABBA" is not allowed; one of "blocks", "random", "abba" is'),
    ("top", 'order = "abba"\nrepeats = 5', f"repeats: 5 {HALF}"),
    ("top", 'order = "abba"\nrepeats = { width = 0.05, at_most = 7 }',
     f"repeats.at_most: 7 {HALF}"),
    ("top", "warmups = 1", "warmups: 1 leaves no pass to time; 0 is the most with passes = 1"),
    ("top", "timeout = 30", f"timeout: 30 is not a duration; {DURATION}"),
    ("top", 'timeout = "0 s"', 'timeout: "0 s" is not allowed; a duration above 0 is'),
    ("top", "sampling = 1", f"sampling: 1 is not a duration; {DURATION}"),
    ("top", 'sampling = "99 ms"', f'sampling: "99 ms" is not allowed; {SAMPLING}'),
    ("top", 'sampling = "61 s"', f'sampling: "61 s" is not allowed; {SAMPLING}'),
    ("environment", 'sampling = "1 s"',
     "environment[1].sampling: unknown key; allowed: " + ENVIRONMENT),
    ("top", 'reuse = "yes"', 'reuse: "yes" is not allowed; true or false is'),
    ("top", "seed = 1979-05-27", 'seed: "1979-05-27" is not allowed; a whole number is'),
    ("top", 'limits = { cost = "60 USD" }', "limits.cost: unknown key; allowed: time, machines"),
    ("top", 'limits = "8 h"', 'limits: "8 h" is not allowed; a table is: [limits]'),
    ("top", 'include = "no.toml"', "no.toml: no such file; benchcast init writes one"),
    ("workload", "parms = {}", "workload[1].parms: unknown key; did you mean 'params'? "
     "allowed: use, name, on, dataset, params, stages"),
    ("workload", "params = { deph = 3 }", "workload[1].params.deph: unknown parameter of job; "
     "did you mean 'depth'? allowed: depth"),
    ("workload", "params = { depth = 10 }",
     "workload[1].params.depth: 10 is not allowed; a whole number from 1 to 9 is"),
    ("workload", "params = { depth = [3, 4.5] }",
     "workload[1].params.depth: 4.5 is not allowed; a whole number from 1 to 9 is"),
    ("workload", "params = { depth = [3, 3] }",
     "workload[1].params.depth: 3 is listed twice; each value is allowed once"),
    ("workload", "params = { depth = [] }",
     "workload[1].params.depth: [] is not allowed; one value or a list of values is"),
    ("workload", 'stages = "both"',
     'workload[1].stages: "both" is not allowed; "fused" or "staged" is'),
    ("workload", 'on = "locl"', "workload[1].on: environment \"locl\" is unknown; "
     "did you mean 'local'? allowed: local"),
    ("workload", 'on = ["local", "local"]',
     'workload[1].on: "local" is listed twice; each value is allowed once'),
    ("workload", 'name = "my label"', 'workload[1].name: "my label" is not allowed; '
     "a name of letters, digits, '.', '_' and '-' is"),
    ("workload", '[[workload]]\nuse = "job"\ndataset = "small"',
     'workload[2].use: "job" is the label of two workloads; give each a `name` of its own'),
    ("environment", 'kid = "local"', "environment[1].kid: unknown key; allowed: " + ENVIRONMENT),
    ("environment", "workers = [0]",
     f"environment[1].workers: 0 is not allowed; {WHOLE.format(1)}"),
    ("environment", "workers = [1, 1]",
     "environment[1].workers: 1 is listed twice; each value is allowed once"),
    ("environment", 'spare = "x"',
     "environment[1].spare: \"x\" is not allowed; expected 'int', got 'str'"),
    ("environment", 'use = "dc2"',
     "environment[1].use: site \"dc2\" is unknown; did you mean 'dc1'? allowed: dc1"),
    ("environment", "worker = { cores = 0 }",
     f"environment[1].worker.cores: 0 is not allowed; {WHOLE.format(1)}"),
    ("environment", "worker = { memory = 2 }",
     f"environment[1].worker.memory: 2 is not an amount of memory; {MEMORY} is allowed"),
    ("environment", 'worker = { memory = ["2 GiB", "2g"] }',
     'environment[1].worker.memory: "2g" is listed twice; each value is allowed once'),
    ("environment", "worker = { cpu_limit = 0 }",
     "environment[1].worker.cpu_limit: 0 is not allowed; a number above 0 is"),
    ("environment", "worker = { cpu_limit = nan }",
     "environment[1].worker.cpu_limit: NaN is not allowed; a number above 0 is"),
    ("environment", "worker = { gpus = 1 }",
     "environment[1].worker.gpus: unknown key; allowed: cores, memory, cpu_limit"),
    ("environment", 'conf = { "spark.executor.memory" = "4g" }',
     f"environment[1].conf.spark.executor.memory: not allowed in conf; {OURS}"),
    ("environment", "conf = { spark.executor.instances = 4 }",
     f"environment[1].conf.spark.executor.instances: not allowed in conf; {OURS}"),
    ("environment", "conf = { spark.dynamicAllocation.enabled = true }",
     f"environment[1].conf.spark.dynamicAllocation.enabled: not allowed in conf; {OURS}"),
    ("environment", 'conf = { spark.master = "local[2]" }',
     f"environment[1].conf.spark.master: not allowed in conf; {OURS}"),
    ("environment", '[[environment]]\nkind = "local"', 'environment[2]: "local" is the name of '
     "two environments; give each a name of its own"),
    ("environment", '[[environment]]\nname = "b"\nkind = "local"', "job on local (workers = 1) and "
     "job on b (workers = 1) are the same; take one out, or let a setting differ"),
    ("environment", '[[environment]]\nkind = "lokal"', "environment[2].kind: kind \"lokal\" is "
     "unknown; did you mean 'local'? allowed: local, cluster"),
    ("environment", '[[environment]]\nname = "b"', "environment[2].kind: missing; it is required"),
    ("environment", '[[environment]]\nkind = "cluster"',
     "environment[2]: Object missing required field 'hosts'"),
    ("environment", '[[environment]]\nkind = "cluster"\nhosts = [1]',
     "environment[2].hosts[0]: Expected 'str', got 'int'"),
    ("site", 'name = "x"',
     "site.dc1.name: a site has none; it belongs to the [[environment]]"),
    ("site", 'wrker = {}', "site.dc1.wrker: unknown key; did you mean 'worker'? allowed: kind, "
     "workers, timeout, retries, reuse, pause, worker, driver, conf, spare"),
    ("site", '[site."a b"]\nkind = "local"', 'site.a b: "a b" is not allowed; '
     "a name of letters, digits, '.', '_' and '-' is"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "line", "problem"), ADDED)
def test_added_line(tmp_path: Path, place: str, line: str, problem: str) -> None:
    separator = "" if problem.startswith(("no.toml", "s.toml")) else "s.toml: "
    assert message(tmp_path, GOOD.replace(f"#{place}\n", f"{line}\n")) == separator + problem


OUR_WORKLOADS = "spark-logistic-regression, tensorflow-logistic-regression"
REPLACED = [
    ('title = "T"', "", "title: missing; it is required"),
    ('"T"', '" "', 'title: " " is not allowed; one line of text is'),
    ('"T"', '"a\\nb"', 'title: "a\\nb" is not allowed; one line of text is'),
    ("workers = 1", "", "environment[1].workers: missing; it is required"),
    ("workers = 1", "workers = 0", f"workers: 0 is not allowed; {WHOLE.format(1)}"),
    ("[[workload]]", "[workload]", 'workload: {"use": "job", "dataset": "flights"} is not '
     "allowed; [[workload]] is"),
    ('use = "job"', 'use = "spark-logistic-regresion"',
     'workload[1].use: workload "spark-logistic-regresion" is unknown; did you mean '
     f"'spark-logistic-regression'? allowed: {OUR_WORKLOADS}, or a path such as ../jobs/churn"),
    ('use = "job"', 'use = "/srv/job"',
     'workload[1].use: workload "/srv/job" is not a relative path; give it relative to the '
     "study file, with forward slashes: ../jobs/churn"),
    ('use = "job"', "", "workload[1].use: missing; it is required"),
    ('use = "job"', 'use = ["job", "tf"]\nname = "x"', "workload[1].name: one name for 2 "
     "workloads; give each an entry of its own, or leave the name out"),
    ('use = "job"', 'use = ["job", "./job"]', 'workload[1].use: "job" is the label of two '
     "workloads; give each a `name` of its own"),
    ('dataset = "flights"', 'dataset = "flight"', 'workload[1].dataset: "flight" is not a dataset '
     "of job or of the study; did you mean 'flights'? allowed: flights, small, big"),
    ('dataset = "flights"', "", "workload[1].dataset: missing; allowed: flights, small, big"),
    ('dataset = "flights"', 'dataset = "big"\non = ["local"]\n[dataset.small]\nrow = 3\n'
     '[[workload]]\nname = "b"\nuse = "job"\ndataset = "small"', "dataset.small.row: unknown key "
     "of a rows dataset; did you mean 'rows'? allowed: rows"),
    ('kind = "local"', 'kind = "cluster"\nhosts = []\n[[workload]]\nuse = "tf"\n'
     'dataset = "small"\non = "cluster"', 'workload[2].on: tf cannot run on "cluster": kind '
     "cluster does not run tensorflow; it runs spark; take it out of `on`"),
    ("workers = 1", "workers = = 1",
     "not TOML: Invalid value (at line 2, column 11)"),
    ("workers = 1", "workers = 1\nworkers = 2",
     "not TOML: Cannot overwrite a value (at line 3, column 12)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "problem"), REPLACED)
def test_replaced_text(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    assert message(tmp_path, GOOD.replace(old, new, 1)) == f"s.toml: {problem}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("rows = 1.5", "dataset.big.rows: 1.5 is not allowed; a whole number is"),
        ("scale = 2", "dataset.big.scale: unknown key of a rows dataset; allowed: rows"),
        ('rows = "x"', 'dataset.big.rows: "x" is not allowed; a whole number is'),
    ],
)
def test_dataset_entries(tmp_path: Path, line: str, problem: str) -> None:
    text = GOOD.replace('"flights"', '"big"').replace("#dataset", line)
    assert message(tmp_path, text) == f"s.toml: {problem}"


@pytest.mark.parametrize(
    ("generator", "problem"),
    [
        ("", "dataset.big.generator: missing; job has: rows"),
        ('generator = "row"', 'dataset.big.generator: "row" is not a generator of job; '
         "did you mean 'rows'? allowed: rows"),
        ('generator = ["rows"]',
         'dataset.big.generator: ["rows"] is not allowed; one line of text is'),
    ],
)  # fmt: skip
def test_dataset_generators(tmp_path: Path, generator: str, problem: str) -> None:
    text = GOOD.replace('"flights"', '"big"').replace('generator = "rows"', generator)
    assert message(tmp_path, text) == f"s.toml: {problem}"


def test_nothing_left_to_run(tmp_path: Path) -> None:
    text = GOOD.replace('use = "job"', 'use = "tf"')
    text = text.replace('kind = "local"', 'kind = "cluster"\nhosts = []', 1)
    assert message(tmp_path, text) == (
        "s.toml: nothing to run: tf on cluster: kind cluster does not run tensorflow; it runs "
        "spark; environment cluster: no workload runs on it"
    )


def test_includes_hold_sites_and_datasets_only(tmp_path: Path) -> None:
    text = GOOD.replace("#top", 'include = ["a.toml"]')
    assert message(tmp_path, text, a='title = "x"') == (
        "a.toml: title: unknown key; did you mean 'site'? allowed: include, site, dataset"
    )


def test_includes_do_not_go_round(tmp_path: Path) -> None:
    text = GOOD.replace("#top", 'include = ["a.toml"]')
    assert message(tmp_path, text, a='include = "b.toml"', b='include = "a.toml"') == (
        'b.toml: include: "a.toml" includes itself; take one of the two out'
    )
    text = GOOD.replace("#top", 'include = ["s.toml"]')
    assert message(tmp_path, text) == (
        's.toml: include: "s.toml" includes itself; take one of the two out'
    )


def test_names_are_unique_over_includes(tmp_path: Path) -> None:
    text = GOOD.replace("#top", 'include = ["a.toml"]')
    assert message(tmp_path, text, a='[site.dc1]\nkind = "local"') == (
        "a.toml: site.dc1: s.toml has a site of this name too"
    )


def test_error_in_a_site_names_the_site_s_own_place(tmp_path: Path) -> None:
    text = GOOD.replace("#top", 'include = ["a.toml"]')
    text = text.replace('kind = "local"', 'use = "far"', 1)
    site = '[site.far]\nkind = "local"\nworker = { memory = "2 gb" }'
    assert message(tmp_path, text, a=site).startswith(
        'a.toml: site.far.worker.memory: "2 gb" is not an amount of memory; '
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        study.load(tmp_path / "no.toml", KINDS, workload=manifest)
    assert str(caught.value).endswith("no.toml: no such file; benchcast init writes one")
    with pytest.raises(StudyError, match="cannot be read: Is a directory"):
        study.load(tmp_path, KINDS, workload=manifest)
    path = tmp_path / "latin.toml"
    path.write_bytes(b'title = "x"\n# caf\xe9\n')
    with pytest.raises(StudyError, match=r"latin.toml: line 2 is not UTF-8; save the file as"):
        study.load(path, KINDS, workload=manifest)
    path.write_text("a = " + "[" * 5000)
    with pytest.raises(StudyError, match="not TOML"):
        study.load(path, KINDS, workload=manifest)
