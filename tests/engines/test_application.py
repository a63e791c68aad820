"""A Spark application's settings and command, without any host."""

from __future__ import annotations

import msgspec
import pytest

from bench.engines.spark import application
from bench.records.cluster import ClusterSpec
from bench.records.study import Shape
from tests.jobs import job

GIB = 1 << 30
SPEC = ClusterSpec(
    engine="spark",
    workers=3,
    worker=Shape(cores=2, memory=8 * GIB),
    driver=Shape(cores=1, memory=2 * GIB),
)
HERE = application.Storage(events="file:///w/events", warehouse="/w/warehouse", temporary="/w/tmp")
GOLDEN = {
    "spark.app.name": "benchcast-r1",
    "spark.executor.cores": "2",
    "spark.executor.memory": "7372m",
    "spark.driver.memory": "1664m",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.warehouse.dir": "/w/warehouse",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.dir": "file:///w/events",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": (
        "-XX:-UsePerfData -XX:ActiveProcessorCount=1 -Djava.io.tmpdir=/w/tmp"
    ),
    "spark.executor.extraJavaOptions": "-XX:-UsePerfData -XX:ActiveProcessorCount=2",
}
STANDALONE = {
    "spark.submit.deployMode": "client",
    "spark.cores.max": "6",
    "spark.driver.host": "10.0.0.1",
    "spark.driver.bindAddress": "10.0.0.1",
    "spark.local.dir": "/w/tmp",
    "spark.executor.extraJavaOptions": (
        "-XX:-UsePerfData -XX:ActiveProcessorCount=2 -Djava.io.tmpdir=."
    ),
}
RUN = msgspec.structs.replace(job("spark"), run="r1")


def test_the_settings_on_standalone_are_these() -> None:
    platform = application.on_standalone(SPEC, "10.0.0.1", "/w/tmp")
    assert application.conf(SPEC, RUN, HERE, platform) == {**GOLDEN, **STANDALONE}


def test_another_platform_brings_its_own_and_no_temporary_folder() -> None:
    there = application.Storage(events="s3a://logs/r1", warehouse="/tmp/w")
    platform = {"spark.executor.instances": "3", "spark.submit.deployMode": "cluster"}
    settings = application.conf(SPEC, RUN, there, platform)
    assert settings == {
        **GOLDEN,
        **platform,
        "spark.eventLog.dir": "s3a://logs/r1",
        "spark.sql.warehouse.dir": "/tmp/w",
        "spark.driver.extraJavaOptions": "-XX:-UsePerfData -XX:ActiveProcessorCount=1",
    }


def test_the_study_has_the_last_word_and_its_jvm_options_are_added() -> None:
    mine = {"spark.sql.adaptive.enabled": "true", "spark.executor.extraJavaOptions": "-Xss4m"}
    spec = msgspec.structs.replace(SPEC, conf=mine)
    settings = application.conf(spec, RUN, HERE, {})
    assert settings["spark.sql.adaptive.enabled"] == "true"
    assert settings["spark.executor.extraJavaOptions"] == (
        "-XX:-UsePerfData -XX:ActiveProcessorCount=2 -Xss4m"
    )


def test_the_command_ends_with_the_entry_and_its_argument() -> None:
    words = application.arguments("spark://h:1", {"a": "1", "b": "x y"}, "/w/main.py", "{}")
    given = ("--conf", "a=1", "--conf", "b=x y")
    assert words == ("--master", "spark://h:1", *given, "/w/main.py", "{}")


@pytest.mark.parametrize(
    ("memory", "left"), [(GIB, 640), (8 * GIB, 7372), (200 << 20, 0), (834 << 20, 450)]
)
def test_heap(memory: int, left: int) -> None:
    assert application.heap(memory) == left
