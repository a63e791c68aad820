"""A Spark application as text: settings, heap and command, independent of any host.

On every platform ``memory`` is the executor's (or driver's) whole container, and the heap is the
part that Spark itself leaves of it on YARN or Kubernetes. ``cores`` are the executor's task slots
and the processors that its JVM sees.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bench.records.cluster import ClusterSpec, Job

MIB = 1 << 20
LEAST_OVERHEAD = 384 * MIB
LEAST_HEAP = 450  # MiB: Spark's minimum
DRIVER_OPTIONS = "spark.driver.extraJavaOptions"
EXECUTOR_OPTIONS = "spark.executor.extraJavaOptions"
_JVM = "-XX:-UsePerfData"  # no JVM files in the machine's temporary folder


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application writes: ``events`` (the event log's folder, a URI) and ``warehouse``.

    ``temporary`` is the driver's temporary folder, if not the machine's.
    """

    events: str
    warehouse: str
    temporary: str | None = None


def heap(memory: int) -> int:
    """Return the JVM heap in whole MiB for a container of ``memory`` bytes.

    Spark's own rule on YARN and Kubernetes (``spark.executor.memoryOverheadFactor`` 0.1, at least
    384 MiB), read backwards: heap = memory - max(384 MiB, 10 %).
    """
    return max(0, memory - max(LEAST_OVERHEAD, memory // 10)) // MIB


def conf(
    spec: ClusterSpec, job: Job, storage: Storage, platform: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings: Benchcast's, then the platform's, then the study's; JVM options join.

    ``platform`` holds the settings that depend on who starts the executors (deploy mode, executor
    count, addresses), such as those of ``on_standalone``.
    """
    own = {
        "spark.app.name": f"benchcast-{job.run}",
        "spark.executor.cores": str(spec.worker.cores),
        "spark.executor.memory": f"{heap(spec.worker.memory)}m",
        "spark.driver.memory": f"{heap(spec.driver.memory)}m",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.warehouse.dir": storage.warehouse,
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": storage.events,
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        DRIVER_OPTIONS: _jvm(spec.driver.cores, storage.temporary),
        EXECUTOR_OPTIONS: _jvm(spec.worker.cores, None),
        **platform,
    }
    names = (DRIVER_OPTIONS, EXECUTOR_OPTIONS)
    joined = {name: f"{own[name]} {spec.conf[name]}" for name in names if name in spec.conf}
    return {**own, **spec.conf, **joined}


def on_standalone(spec: ClusterSpec, address: str, temporary: str) -> dict[str, str]:
    """Return the settings of a Standalone cluster with the driver at ``address``."""
    return {
        "spark.submit.deployMode": "client",
        "spark.cores.max": str(spec.worker.cores * spec.workers),
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        "spark.local.dir": temporary,
        # "." is an executor's own working folder
        EXECUTOR_OPTIONS: _jvm(spec.worker.cores, "."),
    }


def arguments(
    master: str, settings: Mapping[str, str], entry: str, argument: str
) -> tuple[str, ...]:
    """Return the arguments of ``spark-submit``."""
    given = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    return ("--master", master, *given, entry, argument)


def _jvm(cores: int, temporary: str | None) -> str:
    options = f"{_JVM} -XX:ActiveProcessorCount={cores}"
    return options if temporary is None else f"{options} -Djava.io.tmpdir={temporary}"
