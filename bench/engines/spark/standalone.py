"""A real Spark Standalone cluster from the installed pyspark: a master and N workers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.contracts import Host, Process
from bench.engines import jobs, logs
from bench.engines.spark import java
from bench.engines.spark.application import heap
from bench.errors import HostLost, LaunchFailed
from bench.records.cluster import ClusterSpec

LAUNCH_SECONDS = 180.0  # for all workers to start
SETTLE_SECONDS = 15.0  # for an ended application's executors to end
TRIES = 3
PYTHON = "benchcast-python"
LOOK = 0.1

_MASTER = re.compile(r"Starting Spark master at (spark://\S+)")
_WEB = re.compile(r"started at (http://[^\s,]+)")
_WORKER = re.compile(r"Starting Spark worker (\S+):(\d+) with")
_TAKEN = re.compile(r"BindException|Address already in use")
_SHORT = "-XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # daemons start faster with it
# A script, not a link: an interpreter finds its packages by its own path.
_WRAP = """
set -e
mkdir -p "$0/bin"
printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$2" > "$0/bin/$1"
chmod 755 "$0/bin/$1"
echo "$0/bin:$PATH"
"""


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """Where a host has Spark and Java."""

    spark: Path
    java: Path


class PortTakenError(Exception):
    """A daemon could not bind its port; another try uses other ports."""


class Standalone:
    """The running daemons on the driver's and the workers' hosts."""

    def __init__(self, driver: Host, workers: Sequence[Host], spec: ClusterSpec) -> None:
        """Start all daemons; end them and raise LaunchFailed unless all workers start."""
        self._homes: dict[str, Home] = {}
        self._paths: dict[Path, str] = {}  # a host's folder -> its PATH
        self.driver = driver
        self.hosts = list(workers)
        self.spec = spec
        self.master: Process | None = None
        self.workers: list[Process] = []
        self.url = self.web = ""
        for number in range(1, TRIES + 1):
            try:
                self._start()
                return
            except PortTakenError as error:
                self.stop()
                if number == TRIES:
                    raise LaunchFailed(f"Spark found no free port in {TRIES} tries") from error
            except BaseException:
                self.stop()
                raise

    def home(self, host: Host) -> Home:
        """Return where a host has Spark and Java (searched once for each machine)."""
        if host.address not in self._homes:
            self._homes[host.address] = find_home(host)
        return self._homes[host.address]

    def environment(self, host: Host) -> dict[str, str]:
        """Return the variables that Spark's own programs need on a host."""
        temporary = host.folder / "tmp"
        return {
            "JAVA_HOME": str(self.home(host).java),
            "SPARK_HOME": str(self.home(host).spark),
            "SPARK_CONF_DIR": str(
                host.folder / "conf"
            ),  # empty, so that the user's own does not apply
            "SPARK_LOCAL_IP": host.address,
            "SPARK_LOCAL_HOSTNAME": host.address,
            "SPARK_NO_DAEMONIZE": "1",
            "SPARK_LAUNCHER_OPTS": f"{_SHORT} -Djava.io.tmpdir={temporary}",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": f"{_SHORT} -Djava.io.tmpdir={temporary}",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
            "PYSPARK_DRIVER_PYTHON": host.python,
            **self._python(host),
            **jobs.threads(self.spec.worker.cores),
        }

    def _python(self, host: Host) -> dict[str, str]:
        """Return variables that make executors use their own host's interpreter.

        Executors get the driver's PYSPARK_PYTHON. If the hosts' paths differ, it is a name, which
        each host's PATH finds in the host's own folder.
        """
        if len({peer.python for peer in (self.driver, *self.hosts)}) == 1:
            return {"PYSPARK_PYTHON": host.python}
        if host.folder not in self._paths:
            code, output = host.run(["sh", "-c", _WRAP, str(host.folder), PYTHON, host.python])
            if code:
                what = (
                    f"{host.address}: the wrapper of its Python cannot be written: {output.strip()}"
                )
                raise LaunchFailed(what, remedy="free space there")
            self._paths[host.folder] = output.strip()
        return {"PYSPARK_PYTHON": PYTHON, "PATH": self._paths[host.folder]}

    def broken(self) -> str:
        """Return which daemon has died, or an empty string; one living worker is enough."""
        if self.master is None:
            return "the Spark master died"
        if gone := _gone(self.master, "the Spark master"):
            return gone
        if len(self.lost()) == len(self.workers):
            return "every Spark worker died"
        return ""

    def lost(self) -> list[str]:
        """Return the workers that died."""
        gone = (_gone(worker, f"the Spark worker {i}") for i, worker in enumerate(self.workers))
        return [text for text in gone if text]

    def settle(self) -> bool:
        """Wait until no executor runs; False if one still does at the timeout."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self.broken():
            state = self._state()
            if state is not None and not state["activeapps"] and not state["coresused"]:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        return True

    def stop(self) -> None:
        """End all daemons and their children; idempotent."""
        started = [*self.workers, *([self.master] if self.master else [])]
        self.workers, self.master = [], None
        for process in started:
            process.kill()

    def _start(self) -> None:
        deadline = time.monotonic() + LAUNCH_SECONDS
        host = self.driver
        args = ["--host", host.address, "--port", "0", "--webui-port", "0"]
        command = self._command(host, "master.Master", args)
        self.master = host.spawn("master", command, self.environment(host))
        self.url = self._wait_for(self.master, _MASTER, "master", deadline)[1]
        self.web = self._wait_for(self.master, _WEB, "master", deadline)[1]
        args = ["--port", "0", "--webui-port", "0", "--cores", str(self.spec.worker.cores)]
        args += ["--memory", f"{heap(self.spec.worker.memory)}m"]
        for host in self.hosts:
            arguments = [*args, "--host", host.address, "--work-dir", str(host.folder / "work")]
            command = self._command(host, "worker.Worker", [*arguments, self.url])
            self.workers.append(host.spawn("spark-worker", command, self.environment(host)))
        self._wait_alive(deadline)

    def _wait_for(
        self, process: Process, pattern: re.Pattern[str], name: str, deadline: float
    ) -> re.Match[str]:
        """Wait for a pattern in a daemon's log; return the match."""
        while True:
            code = process.poll()
            text = process.read().decode(errors="replace")
            if match := pattern.search(text):
                return match
            if code is not None:
                if _TAKEN.search(text):
                    raise PortTakenError
                error = logs.error_in(text)
                raise LaunchFailed(f"the Spark {name} {logs.exit_text(code)}: {error}")
            if time.monotonic() > deadline:
                raise LaunchFailed(f"the Spark {name} did not start in {LAUNCH_SECONDS:g} s")
            time.sleep(LOOK)

    def _wait_alive(self, deadline: float) -> None:
        """Wait until exactly the started workers are alive."""
        count = len(self.workers)
        started = set()
        for number, worker in enumerate(self.workers):
            match = self._wait_for(worker, _WORKER, f"worker {number} of {count}", deadline)
            started.add((match[1], int(match[2])))
        while True:
            state = self._state()
            workers = state["workers"] if state is not None else []
            alive = {(w["host"], int(w["port"])) for w in workers if w["state"] == "ALIVE"}
            if foreign := alive - started:
                raise LaunchFailed(
                    f"{len(foreign)} workers that were not started here joined the Spark master",
                    remedy="end other Spark clusters on this machine: benchcast cleanup",
                )
            if alive == started:
                return
            if gone := self.lost():
                raise LaunchFailed(f"{gone[0]} before all {count} were alive")
            if time.monotonic() > deadline:
                what = f"{len(alive)} of {count} Spark workers started in {LAUNCH_SECONDS:g} s"
                raise LaunchFailed(what, remedy="start fewer workers, or free cores and memory")
            time.sleep(LOOK)

    def _state(self) -> dict[str, Any] | None:
        """Return the master's JSON state; None while it does not answer."""
        try:
            answer = self.driver.http_get(f"{self.web}/json/")
            state = json.loads(answer) if answer is not None else None
        except (HostLost, json.JSONDecodeError):
            return None
        return state if isinstance(state, dict) else None

    def _command(self, host: Host, what: str, args: Sequence[str]) -> list[str]:
        program = self.home(host).spark / "bin" / "spark-class"
        return ["bash", str(program), f"org.apache.spark.deploy.{what}", *args]


def find_home(host: Host) -> Home:
    """Return the folder of the installed pyspark, which is a complete Spark, and a Java for it."""
    spark = host.package("pyspark")
    if spark is None:
        raise LaunchFailed(
            f"the Python of {host.address} has no pyspark",
            remedy="install it there: pip install pyspark",
        )
    java_home = java.on(host)
    if java_home is None:
        raise LaunchFailed(f"no Java was found for Spark on {host.address}", remedy=java.REMEDY)
    return Home(spark=spark, java=java_home)


def _gone(process: Process, name: str) -> str:
    """Return how a daemon ended, or an empty string while it lives."""
    try:
        return f"{name} died" if process.poll() is not None else ""
    except HostLost as error:
        return f"{name} is lost: {error.what}"
