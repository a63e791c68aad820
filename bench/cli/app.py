"""The command: its verbs, and the conversion of errors to one line and an exit code."""

from __future__ import annotations

import importlib
import itertools
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Annotated, NamedTuple

import typer

import bench
from bench.errors import BenchError

INTERRUPTED = 130  # typer's exit code for Ctrl-C
NOT_MEASURED = 3

app = typer.Typer(
    name="benchcast",
    help="Run the same Spark and TensorFlow work everywhere, at growing worker counts, and see "
    "how it scales.",
    no_args_is_help=False,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Verb(NamedTuple):
    """A line of the overview; the function ``NAME`` or ``NAME_`` of ``bench/cli/NAME.py``."""

    name: str
    arguments: str
    help: str


# By what a user wants to do; the only list of verbs.
VERBS: Mapping[str, Sequence[Verb]] = {
    "start": (
        Verb("init", "STUDY", "write a starting study"),
        Verb("doctor", "[STUDY]", "what this machine (or the study) still needs"),
        Verb("list", "[STUDY]", "workloads, environments, runs"),
    ),
    "measure": (
        Verb("plan", "STUDY", "the cells, their order, the estimated time; starts nothing"),
        Verb("run", "STUDY", "run the cells; a second run continues where the first stopped"),
    ),
    "read": (
        Verb("report", "STUDY", "the page: curves, losses, comparisons; --watch follows a run"),
        Verb("show", "RUN", "one run ('last' for the latest)"),
        Verb("whatif", "RUN", "a Spark run's time on other numbers of workers"),
        Verb("export", "FORMAT STUDY", "the results for other tools (parquet)"),
    ),
    "clean up": (Verb("cleanup", "[STUDY]", "remove what crashed sessions left behind"),),
}


def _command(name: str) -> Callable[..., object]:
    module = importlib.import_module(f"bench.cli.{name}")
    command: Callable[..., object] = getattr(module, name, None) or getattr(module, f"{name}_")
    return command


for _verb in itertools.chain.from_iterable(VERBS.values()):
    app.command(_verb.name)(_command(_verb.name))


@app.callback(invoke_without_command=True)
def overview(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Run the same Spark and TensorFlow work everywhere, at growing worker counts."""
    if version:
        typer.echo(f"benchcast {bench.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo("\n".join(_overview()))


def _overview() -> Iterator[str]:
    yield "benchcast: the same Spark and TensorFlow work everywhere, at growing worker counts"
    yield ""
    for purpose, verbs in VERBS.items():
        for number, verb in enumerate(verbs):
            usage = f"{verb.name} {verb.arguments}"
            yield f"  {'' if number else purpose:10}{usage:15}  {verb.help}"
    yield ""
    yield f"next: {_next()}"
    yield (
        "'benchcast VERB --help' explains a verb; 'benchcast --install-completion' completes them."
    )


def _next() -> str:
    from pathlib import Path

    studies = sorted(Path().glob("*.toml")) + sorted(Path("studies").glob("*.toml"))
    named = [path for path in studies if path.name != "pyproject.toml"]
    if not named:
        return "benchcast init study.toml"
    done = [path for path in named if list(Path("results", path.stem).glob("*.jsonl"))]
    return f"benchcast report {done[0]}" if done else f"benchcast run {named[0]}"


def main() -> None:
    """Run the command and exit: 0 fine, 1 a finding, 2 a user's mistake, 3 not measured."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False)
    except BenchError as error:
        _print_error(f"benchcast: {error}")
        sys.exit(error.exit_code)
    except typer.TyperException as error:
        _print_error(f"benchcast: {' '.join(str(error).split())} (see 'benchcast --help')")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    if code == INTERRUPTED:
        _print_error("benchcast: stopped; run again to continue")
        code = NOT_MEASURED
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print_error(text: str) -> None:
    print(text, file=sys.stderr)
