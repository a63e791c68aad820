"""Workloads: found, read strictly, bundled the same from everywhere."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from bench import digests, workloads
from bench.errors import WorkloadError

ROOT = Path(__file__).resolve().parents[1]
OURS = ("spark-logistic-regression", "tensorflow-logistic-regression")

GOOD = """\
name   = "churn"
task   = "churn/1"
engine = "spark"
entry  = "main.py"
files  = ["extra/help.py"]

[params.depth]
type    = "int"
default = 3
min     = 1
max     = 9

[dataset.small]
generator = "spark-perf"
rows      = 10

[metrics.auc]
direction = "higher"
"""


def folder_of(base: Path, text: str = GOOD) -> workloads.WorkloadFolder:
    folder = base / "churn"
    (folder / "extra").mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text("print('main')\n")
    (folder / "extra" / "help.py").write_text("HELP = 'ü'\n", encoding="utf-8")
    (folder / "workload.toml").write_text(text, encoding="utf-8")
    return workloads.find("./churn", base)


def test_ours_are_listed_and_read() -> None:
    assert workloads.names() == OURS
    for name in OURS:
        said = workloads.manifest(name, ROOT)
        assert said.name == name
        assert said.task == "logistic-regression/1"
        assert said.dataset["synthetic"].generator == "spark-perf"
        assert said.quality.float64["objective"] == 1e-6
        limits = said.quality.limits()
        assert limits.tolerances == {"objective": 1e-6, "auc": 1e-4, "vector": 0.05}
        assert limits.requires == {"converged": True}


def test_both_do_the_same_task_under_the_same_rules() -> None:
    spark, tensorflow = (workloads.manifest(name, ROOT) for name in OURS)
    assert spark.dataset == tensorflow.dataset
    assert spark.quality == tensorflow.quality
    for name in ("tolerance", "max_iterations", "regularization"):
        assert spark.params[name] == tensorflow.params[name]


def test_unknown_name_says_the_nearest() -> None:
    with pytest.raises(WorkloadError) as caught:
        workloads.find("spark-logistic-regresion", ROOT)
    assert str(caught.value) == (
        'workload "spark-logistic-regresion" is unknown; '
        "did you mean 'spark-logistic-regression'? "
        f"allowed: {', '.join(OURS)}, or a path such as ../jobs/churn"
    )


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        ("../jobs/none", 'workload "../jobs/none" has no workload.toml; a path is relative'),
        ("/etc/passwd", 'workload "/etc/passwd" is not a relative path; give it relative'),
        ("jobs\\churn", 'workload "jobs\\\\churn" is not a relative path; give it relative'),
        ("_common", 'workload "_common" is unknown; allowed: '),
    ],
)
def test_bad_places(tmp_path: Path, use: str, problem: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        workloads.find(use, tmp_path)
    assert str(caught.value).startswith(problem)


def test_own_workload_by_path(tmp_path: Path) -> None:
    said = workloads.read(folder_of(tmp_path))
    assert said.params["depth"].accept(9) == 9
    assert dict(said.dataset["small"].params) == {"rows": 10}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('task   = "churn/1"', "", "Object missing required field 'task'"),
        ('"churn/1"', '"churn"', "task: Expected 'str' matching regex"),
        ("task ", "tsk = 1\ntask ", "Object contains unknown field 'tsk'"),
        ('"spark"\n', '"a b"\n', "engine: Expected 'str' matching regex"),
        ('"main.py"', '"none.py"', 'entry: "none.py" does not exist there'),
        ('"main.py"', '"../main.py"', 'entry: "../main.py" is outside the folder'),
        ('"main.py"', '"/main.py"', 'entry: "/main.py" is outside the folder'),
        ('"extra/help.py"', '"_common/x.py"', 'files: "_common/x.py"; _common is always bundled'),
        ("default = 3", "default = 0", "params.depth.default: 0 is not allowed; a whole number"),
        ("default = 3", "default = 3.5", "params.depth.default: 3.5 is not allowed; a whole"),
        ("max     = 9", "maxx    = 9", "params.*: Object contains unknown field 'maxx'"),
        ("rows      = 10", "rows = [10]", "dataset.*.params.*: Expected 'bool | int"),
        ("entry ", "entry\n", "not TOML: Expected '=' after a key in a key/value pair (at line 4"),
        ('"higher"', '"up"', "metrics.*.direction: Invalid enum value 'up'"),
    ],
)
def test_bad_manifests(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    folder = folder_of(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(WorkloadError) as caught:
        workloads.read(folder)
    assert str(caught.value).startswith(f"./churn/workload.toml: {problem}")


def test_manifest_must_be_utf8(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder.path / "workload.toml").write_bytes(b"name = '\xff'\n")
    with pytest.raises(WorkloadError, match="byte 8 is not UTF-8"):
        workloads.read(folder)


def test_bundle_holds_listed_files_and_all_of_common(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder.path / "notes.txt").write_text("not listed")
    bundle = workloads.bundle(folder)
    common = {f"_common/{path.name}" for path in (workloads.root() / "_common").glob("*.py")}
    assert set(bundle.files) == {"main.py", "extra/help.py"} | common
    pairs = sorted(
        [name, hashlib.sha256(text.encode()).hexdigest()] for name, text in bundle.files.items()
    )
    assert bundle.digest == digests.digest(pairs)
    assert (bundle.workload, bundle.task) == ("churn", "churn/1")


def test_bundle_follows_the_bytes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    before = workloads.bundle(folder)
    (folder.path / "main.py").write_bytes(b"print('main')\r\n")
    after = workloads.bundle(folder)
    assert after.digest != before.digest
    assert after.files["main.py"] == "print('main')\r\n"


def test_bundle_must_be_text(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder.path / "main.py").write_bytes(b"\xff")
    with pytest.raises(WorkloadError, match="main.py: byte 0 is not UTF-8"):
        workloads.bundle(folder)


def test_installed_wheel_gives_the_same_bundles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {name: workloads.bundle(workloads.find(name, ROOT)) for name in OURS}
    package = tmp_path / "site-packages" / "bench"
    archive = tmp_path / "w.zip"
    with zipfile.ZipFile(archive, "w") as writer:  # what unpacking does to times and modes
        for path in sorted((ROOT / "workloads").rglob("*")):
            if path.is_file():
                writer.write(path, path.relative_to(ROOT / "workloads"))
    shutil.unpack_archive(archive, package / "_workloads")
    (tmp_path / "site-packages" / "workloads" / "other").mkdir(parents=True)
    monkeypatch.setattr(workloads, "_PACKAGE", package)
    assert workloads.root() == package / "_workloads"
    assert workloads.names() == OURS
    assert {name: workloads.bundle(workloads.find(name, ROOT)) for name in OURS} == here
