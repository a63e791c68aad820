"""Logistic regression with Spark MLlib on flights or on spark-perf's generated rows.

Staged: every pipeline stage's output is cached and written whole to Spark's noop sink before the
stage ends. Fused: stages only declare their part, Spark fuses them, and the time is spent where
data is needed: for the flights `features` covers reading, joining and encoding, for generated
rows `features` covers the generation. In both modes the vectors that `train` iterates over are
cached and materialised before it starts; the joined flights, which the encoding reads several
times, are cached too.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import StorageLevel
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexerModel, VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from _common import flights, generators, quality
from _common.emitter import Report

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_WAIT_SECONDS = 30.0
_CACHE_BATCH_BYTES = 8 * 2**20
_SHUFFLES = "spark.sql.shuffle.partitions"


@dataclass
class Stages:
    """The frames that are cached now, and whether each stage materialises its output."""

    staged: bool
    cached: list[DataFrame]

    def done(self, *frames: DataFrame) -> None:
        """End a stage: staged, cache its frames whole and drop the stage's before it."""
        if not self.staged:
            return
        for frame in frames:
            self.keep(frame)
            frame.write.format("noop").mode("overwrite").save()
        self.drop(but=frames)

    def keep(self, frame: DataFrame) -> None:
        """Cache a frame; memory first, then disk."""
        frame.persist(StorageLevel.MEMORY_AND_DISK)
        self.cached.append(frame)

    def drop(self, but: tuple[DataFrame, ...] = ()) -> None:
        """Release what is cached, but for the frames named."""
        for frame in self.cached:
            if not any(frame is kept for kept in but):
                frame.unpersist(blocking=True)
        self.cached = list(but)


def workers_seen(spark: SparkSession) -> int:
    """Return how many executors are alive, the driver not counted (local mode: 1)."""
    context = spark.sparkContext
    master = context.master or ""
    if master.startswith("local") and not master.startswith("local-cluster"):
        return 1
    return len(context._jsc.sc().statusTracker().getExecutorInfos()) - 1


def wait_for_workers(spark: SparkSession, expected: int | None) -> int:
    """Run a small job, wait up to 30 s for the expected executors; return how many are alive."""
    context = spark.sparkContext
    context.parallelize(range(context.defaultParallelism)).count()
    until = time.monotonic() + _WAIT_SECONDS
    while expected is not None and workers_seen(spark) < expected and time.monotonic() < until:
        time.sleep(0.2)
    return workers_seen(spark)


def ship_common(spark: SparkSession, folder: Path) -> None:
    """Send `_common` to the executors, so that they need no file system in common."""
    source = Path(quality.__file__).parent
    copy = folder / "ship" / source.name
    shutil.copytree(source, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    spark.sparkContext.addPyFile(shutil.make_archive(str(folder / "_common"), "zip", copy.parent))


def generate(batches: Iterator[RecordBatch], spec: generators.Spec) -> Iterator[RecordBatch]:
    """Turn batches of `block` numbers into rows: label, test, values (on the executors)."""
    import pyarrow as pa

    for batch in batches:
        for number in batch.column(0).to_pylist():
            start = number * generators.BLOCK_ROWS
            stop = min(start + generators.BLOCK_ROWS, spec.rows)
            for first, values, labels in generators.blocks(start, stop, spec):
                offsets = np.arange(len(labels) + 1, dtype=np.int32) * spec.features
                arrays = [
                    pa.array(labels),
                    pa.array(generators.is_test(first, len(labels))),
                    pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel())),
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=["label", "test", "values"])


def generated(report: Report, spark: SparkSession, stages: Stages, parts: int) -> DataFrame:
    """Return label, test, features of generated rows, made by the executors."""
    spec = generators.spec_of(report.data)
    with report.stage("source"):
        # Fused: declared only.
        numbers = spark.range(0, spec.block_count(), 1, parts)
        frame = numbers.mapInArrow(
            partial(generate, spec=spec), "label double, test boolean, values array<double>"
        )
        stages.done(frame)
    with report.stage("validate"):
        # Fused: declared only; the filter runs with `features`.
        frame = frame.where(F.col("label").isin(0.0, 1.0) & (F.size("values") == spec.features))
        stages.done(frame)
    with report.stage("preprocess"):
        # Nothing but the split, which the generator marks; kept so that stages compare.
        frame = frame.select("label", "test", "values")
        stages.done(frame)
    return frame.select("label", "test", array_to_vector(F.col("values")).alias("features"))


def read_csv(spark: SparkSession, path: Path, columns: tuple[tuple[str, str], ...]) -> DataFrame:
    """Read a CSV file with header by an explicit schema."""
    schema = ", ".join(f"{name} {kind}" for name, kind in columns)
    return spark.read.csv(path.as_uri(), schema=schema, header=True, nullValue=flights.MISSING)


def prepare_flights(table: DataFrame, weather: DataFrame) -> DataFrame:
    """Join the weather, label and split: categories as text, numbers, label, test."""
    hourly = weather.groupBy("origin", "time_hour").agg(
        *[F.avg(name).alias(name) for name in flights.WEATHER]
    )
    joined = table.join(hourly, ["origin", "time_hour"], "left")
    joined = joined.withColumn("weekday", F.dayofweek(F.make_date("year", "month", "day")))
    return joined.select(
        *[F.col(name).cast("string").alias(name) for name in flights.CATEGORIES],
        *flights.NUMBERS,
        (F.col("arr_delay") > flights.LATE_MINUTES).cast("double").alias("label"),
        (F.crc32(F.concat_ws("|", *flights.KEY)) % 100 < flights.TEST_PERCENT).alias("test"),
    )


def encode_flights(frame: DataFrame) -> DataFrame:
    """Learn the encoding from the training rows; return label, test, features."""
    train = frame.where(~F.col("test"))
    facts = train.agg(
        *[F.avg(name).alias(f"{name}_mean") for name in flights.NUMBERS],
        *[F.stddev_samp(name).alias(f"{name}_deviation") for name in flights.NUMBERS],
    ).first()
    if facts is None:
        raise ValueError("no training rows")
    scaled = [
        F.coalesce(
            # A constant number becomes 0 everywhere, a missing one too.
            (F.col(name) - facts[f"{name}_mean"]) / (facts[f"{name}_deviation"] or 1.0),
            F.lit(0.0),
        ).alias(f"{name}_scaled")
        for name in flights.NUMBERS
    ]
    flag = F.col("temp").isNull().cast("double").alias("weather_missing")
    ready = frame.select("label", "test", *flights.CATEGORIES, *scaled, flag)
    numbers = [f"{name}_scaled" for name in flights.NUMBERS] + ["weather_missing"]
    model = encoder(frequent_levels(train), numbers).fit(ready)
    return model.transform(ready).select("label", "test", "features")


def frequent_levels(train: DataFrame) -> list[list[str]]:
    """Return each category's levels that enough training rows have, in the order of their text."""
    pairs = [
        F.struct(F.lit(place).alias("place"), F.col(name).alias("level"))
        for place, name in enumerate(flights.CATEGORIES)
    ]
    counts = train.select(F.explode(F.array(*pairs)).alias("p")).groupBy("p.place", "p.level")
    found: list[list[str]] = [[] for _ in flights.CATEGORIES]
    for row in counts.count().where(F.col("count") >= flights.LEVEL_ROWS).collect():
        found[row["place"]].append(row["level"])
    return [sorted(levels) for levels in found]


def encoder(levels: list[list[str]], numbers: list[str]) -> Pipeline:
    """One column a level and one a number; levels that are not listed have no column."""
    codes = [f"{name}_code" for name in flights.CATEGORIES]
    hot = [f"{name}_hot" for name in flights.CATEGORIES]
    # "keep" gives unlisted levels a last code, and dropLast turns just that one to zeros.
    # A model for each: pyspark pads arrays of labels of unequal length with null.
    indexers = [
        StringIndexerModel.from_labels(known, name, code, handleInvalid="keep")
        for known, name, code in zip(levels, flights.CATEGORIES, codes, strict=True)
    ]
    one_hot = OneHotEncoder(inputCols=codes, outputCols=hot, dropLast=True)
    return Pipeline(
        stages=[*indexers, one_hot, VectorAssembler(inputCols=hot + numbers, outputCol="features")]
    )


def flown(report: Report, spark: SparkSession, stages: Stages, parts: int) -> DataFrame:
    """Return label, test, features of the flights; the encoding is learnt in here."""
    with report.stage("source"):
        # Fused: unpacks the files and declares the reading.
        paths = flights.unpack(flights.root(), report.folder)
        table = read_csv(spark, paths[0], flights.FLIGHT_COLUMNS).repartition(parts)
        weather = read_csv(spark, paths[1], flights.WEATHER_COLUMNS)
        stages.done(table, weather)
    with report.stage("validate"):
        # Fused: declared only.
        table = table.where(F.col("arr_delay").isNotNull())
        stages.done(table, weather)
    with report.stage("preprocess"):
        # Fused: declared only; the join runs with `features`, once: what it gives is cached.
        frame = prepare_flights(table, weather)
        if stages.staged:
            stages.done(frame)
        else:
            stages.keep(frame)
    return frame


def materialise(frame: DataFrame, stages: Stages) -> dict[str, float | int]:
    """Cache the vectors in one pass over all columns; return the data's moments."""
    stages.keep(frame)
    summary = Summarizer.metrics("count", "mean", "normL2").summary(F.col("features"))
    row = frame.agg(summary.alias("s"), F.sum("label").alias("y"), F.sum(F.col("test").cast("int")))
    found = row.first()
    if found is None or found["s"]["count"] == 0:
        raise ValueError("no rows left to train on")
    count = int(found["s"]["count"])
    sums = found["s"]["mean"].toArray() * count
    return generators.moments(count, found["y"], sums, found["s"]["normL2"].toArray() ** 2)


def train(report: Report, data: DataFrame) -> LogisticRegressionModel:
    """Fit MLlib's logistic regression on the training rows."""
    estimator = LogisticRegression(
        regParam=report.params["regularization"],
        elasticNetParam=0.0,
        standardization=False,
        fitIntercept=True,
        family="binomial",
        tol=report.params["tolerance"],
        maxIter=report.params["max_iterations"],
    )
    model: LogisticRegressionModel = estimator.fit(data.where(~F.col("test")))
    return model


def objective(model: LogisticRegressionModel, data: DataFrame, regularization: float) -> float:
    """Return quality.objective of the training rows, computed by the executors."""
    margin = vector_to_array(F.col("rawPrediction"))[1]
    scored = model.transform(data.where(~F.col("test"))).select("label", margin.alias("m"))
    loss = F.greatest(F.col("m"), F.lit(0.0)) + F.log1p(F.exp(-F.abs("m")))
    row = scored.agg(F.sum(loss - F.col("label") * F.col("m")), F.count("m")).first()
    if row is None:
        raise ValueError("no training rows")
    weights = np.asarray(model.coefficients.toArray())
    return quality.penalised(row[0], row[1], weights, regularization)


def judge(report: Report, model: LogisticRegressionModel, data: DataFrame) -> dict[str, Any]:
    """Evaluate the model: objective on the training rows, exact AUC on those held out."""
    value = objective(model, data, report.params["regularization"])
    held_out = model.transform(data.where("test"))
    area = BinaryClassificationEvaluator(metricName="areaUnderROC", numBins=0).evaluate(held_out)
    iterations = int(model.summary.totalIterations)
    report.measure("auc", area, item="test")
    report.measure("objective", value, item="train")
    report.measure("iterations", iterations)
    return {
        "objective": value,
        "auc": area,
        "iterations": iterations,
        "converged": iterations < report.params["max_iterations"],
        "precision": "float64",
    }


def partitions(report: Report, spark: SparkSession) -> int:
    """Return how many partitions the data has: the parameter, or one for each executor core."""
    return int(report.params["partitions"] or spark.sparkContext.defaultParallelism)


def one_pass(report: Report, spark: SparkSession, number: int) -> tuple[Any, dict[str, Any]]:
    """Do the whole work once; return the model's vector [features + 1] and its quality."""
    stages = Stages(report.stages == "staged", [])
    parts = partitions(report, spark)
    began = time.monotonic()
    of_flights = report.data["name"] == flights.NAME
    frame = (flown if of_flights else generated)(report, spark, stages, parts)
    with report.stage("features"):
        data = encode_flights(frame) if of_flights else frame
        moments = materialise(data, stages)
        stages.drop(but=(data,))
    if number == 0:
        digest = (
            flights.digest(flights.root())
            if of_flights
            else generators.digest(generators.spec_of(report.data))
        )
        report.dataset(
            "train", name=report.data["name"], digest=digest, rows=moments["count"], moments=moments
        )
    with report.stage("train"):
        model = train(report, data)
    with report.stage("evaluate"):
        found = judge(report, model, data)
    with report.stage("score"):
        model.transform(data).select("probability").write.format("noop").mode("overwrite").save()
    report.measure("throughput", moments["count"] / (time.monotonic() - began))
    stages.drop()
    return np.append(model.coefficients.toArray(), model.intercept), found


def main() -> None:
    """Run the job that the argument describes."""
    report = Report.read()
    spark = SparkSession.builder.appName(f"benchcast-{report.run}").getOrCreate()
    if "features" in report.data:
        # Wide rows: keep a cached batch (10,000 rows by default) to about 8 MiB.
        batch = max(16, _CACHE_BATCH_BYTES // (8 * int(report.data["features"])))
        spark.conf.set("spark.sql.inMemoryColumnarStorage.batchSize", batch)
    if not spark.sparkContext.getConf().contains(_SHUFFLES):
        # Spark's 200 are for clusters; the study's conf comes first.
        spark.conf.set(_SHUFFLES, partitions(report, spark))
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    java = jvm.java.lang.System.getProperty("java.version")
    report.versions(spark=spark.version, java=java)
    ship_common(spark, report.folder)
    report.ready(workers=wait_for_workers(spark, report.workers))
    for number in report.passes():
        vector, found = one_pass(report, spark, number)
    report.quality(vector=vector, **found)
    report.artefact("model", lambda path: np.save(path, vector), suffix=".npy")
    report.end()
    spark.stop()


if __name__ == "__main__":
    main()
