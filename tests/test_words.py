"""The vocabulary: retired names and phrases stay out of the code and of its texts."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Names of classes, functions, methods, attributes and arguments.
RETIRED_NAMES = {
    "Bed": "ContractCase",
    "Caching": "CleansCache",
    "Doubts": "ReplayLimits",
    "EnvironmentUnfit": "UnsuitableEnvironment",
    "Equipping": "InstallsEngines",
    "Evidence": "CurveFacts",
    "Inventory": "SshProvider",
    "Leftover": "OwnedResource",
    "Link": "AgentConnection",
    "Made": "provision_seconds",
    "Mark": "RunEvent, or the name of the thing",
    "Need": "ClusterSpec",
    "Overview": "StudyAnalysis",
    "Prepared": "PreparedStudy",
    "Room": "Capacity",
    "Tailor": "HostProvider",
    "Witness": "ReportsEvents",
    "beneath": "hypervisor",
    "equip": "install_engine",
    "equipment": "python_env",
    "happened": "events",
    "made_seconds": "provision_seconds",
    "making": "provisioning",
    "occupy": "create",
    "owner_of_tag": "Owner.from_tag",
    "owner_of_text": "Owner.from_text",
    "patience": "unreachable_after, or timeout",
    "unkeyed": "setting(keyed=False)",
    "unrecorded": "setting(recorded=False)",
    "vacate": "remove_if_empty",
}

RETIRED_MODULES = {
    "beds": "contract_cases",
    "desk": "study_folder",
    "equipment": "python_env",
    "guests": "clone_hosts",
    "leftovers": "owned",
    "places": "directories, locks",
    "rack": "ssh_hosts",
    "remains": "lab_cleanup",
    "sent": "agent.program",
    "spawned": "process",
    "verdict": "run_record",
}

# Variables that say that somebody looked, and not what they hold; in bench only.
RETIRED_VARIABLES = frozenset(
    ["found", "got", "known", "mine", "one", "ours", "said", "theirs", "told", "under"]
)

# In docstrings, comments and texts: regular expressions of whole words, in any case.
RETIRED_PHRASES = {
    r"(is|are|was|were) (said|told)": "has, reports, names",
    r"anew": "again, or nothing",
    r"beneath": "below",
    r"held against": "compared with",
    r"(lies|lie) (about|in|there|beside)": "is in",
    r"mend(s|ed)?": "fix",
    r"spoilt": "corrupt",
    r"stands? (against|apart|there|on one)": "prevents, is on",
    r"stood on": "ran on",
    r"say (clone|python|another|both|them)": "set",
}

# Where a retired word may stay, and why.
ALLOWED = {
    ("bench/records/schema.py", "unkeyed"): "a key of schema 1",
    ("tests/records/test_schema.py", "unkeyed"): "a key of schema 1",
    ("bench/analysis/comparison/verdict.py", "verdict"): "of a comparison; retired is a run's",
}


@cache
def sources() -> tuple[Path, ...]:
    """Every Python file of bench and tests that the vocabulary holds for."""
    paths = [path for top in ("bench", "tests") for path in (ROOT / top).rglob("*.py")]
    return tuple(path for path in sorted(paths) if path != Path(__file__).resolve())


def documents() -> Iterator[tuple[Path, int, str]]:
    """Yield the paragraphs of the documentation with their first lines."""
    for pattern in (
        "*.md",
        "docs/*.md",
        "results/*.md",
        "tests/labs/*.md",
        "tests/performance/*.md",
    ):
        for path in sorted(ROOT.glob(pattern)):
            line = 1
            for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
                yield path, line, " ".join(paragraph.split())
                line += paragraph.count("\n") + 2


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines, sets or passes, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            yield node.lineno, node.arg


def variables(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the variables and arguments that a module binds, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments and texts with their lines; texts over several lines as one."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], " ".join(token.string.split())


def test_retired_names_stay_out() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}; use {RETIRED_NAMES[name]}"
        for path in sources()
        for line, name in names(ast.parse(path.read_text(encoding="utf-8")))
        if name in RETIRED_NAMES and (str(path.relative_to(ROOT)), name) not in ALLOWED
    ]
    assert wrong == []


def test_retired_modules_stay_out() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}; name it {RETIRED_MODULES[path.stem]}"
        for path in sources()
        if path.stem in RETIRED_MODULES and (str(path.relative_to(ROOT)), path.stem) not in ALLOWED
    ]
    assert wrong == []


def test_variables_say_what_they_hold() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources()
        if path.is_relative_to(ROOT / "bench")
        for line, name in variables(ast.parse(path.read_text(encoding="utf-8")))
        if name in RETIRED_VARIABLES
    ]
    assert wrong == []


@pytest.mark.parametrize("phrase", RETIRED_PHRASES)
def test_retired_phrases_stay_out(phrase: str) -> None:
    pattern = re.compile(rf"\b{phrase}\b", re.I)
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}; write {RETIRED_PHRASES[phrase]}"
        for path in sources()
        for line, text in texts(path.read_text(encoding="utf-8"))
        if (match := pattern.search(text))
    ]
    wrong += [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}; write {RETIRED_PHRASES[phrase]}"
        for path, line, text in documents()
        if (match := pattern.search(text))
    ]
    assert wrong == []


def test_the_table_finds_what_it_retires() -> None:
    tree = ast.parse("class Mark:\n    def vacate(self, patience): self.happened = 1\n")
    found = {name for _, name in names(tree)} & RETIRED_NAMES.keys()
    assert found == {"Mark", "vacate", "patience", "happened"}
    assert [name for _, name in variables(ast.parse("found = [one for one in x]"))] == [
        "found",
        "one",
    ]
    assert [text for _, text in texts('x = 1  # anew\ny = """is\nsaid"""\n')] == [
        "# anew",
        '"""is said"""',
    ]
