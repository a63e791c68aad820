"""The command: its verbs, and the conversion of errors to one line and an exit code."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

import bench
from bench.cli import cleanup, doctor, export, init, plan, report, run, show, whatif
from bench.cli import list as listing
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

app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.command("list")(listing.list_)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("show")(show.show)
app.command("whatif")(whatif.whatif)
app.command("export")(export.export)
app.command("cleanup")(cleanup.cleanup)

OVERVIEW = """\
benchcast: the same Spark and TensorFlow work everywhere, at growing worker counts

  start     init STUDY       write a starting study
            doctor [STUDY]   what this machine (or the study) still needs
            list [STUDY]     workloads, environments, runs
  measure   plan STUDY       the cells, their order, the estimated time; starts nothing
            run STUDY        run the cells; a second run continues where the first stopped
  read      report STUDY     the page: curves, where time goes, whether runs are comparable;
                             --watch keeps it up to date
            show RUN         one run ('last' for the latest)
            whatif RUN       a Spark run's time on other numbers of workers
            export FORMAT STUDY  the results for other tools (parquet)
  clean up  cleanup [STUDY]  remove what crashed sessions left behind

next: {next}
'benchcast VERB --help' explains a verb; 'benchcast --install-completion' completes them.
"""


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
        typer.echo(OVERVIEW.format(next=_next()), nl=False)


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
