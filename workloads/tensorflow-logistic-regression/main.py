"""Logistic regression with TensorFlow, one process a rank, on flights or on generated rows.

Every rank holds a block of contiguous rows; one tf.function computes summed loss and gradient
there, another all-reduces them, and each rank runs the same L-BFGS on the sums. All of it is
eager and in memory, so every stage's output is whole when the stage ends: `staged` and `fused`
do the same here. MLlib's solver works on standardised features and this one on the features as
they are; the penalty is on the weights of the latter in both, so that the optimum is the same.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from _common import flights, generators, lbfgs, quality
from _common.emitter import Report

Matrix = npt.NDArray[np.float64]


@dataclass
class Shard:
    """This rank's rows: X [n, f], y [n] to train, and those held out with their place.

    place [m]: position of each held-out row among the held-out rows of all ranks; held_out: how
    many those are.
    """

    train: Matrix
    train_labels: Matrix
    test: Matrix
    test_labels: Matrix
    place: npt.NDArray[np.intp]
    held_out: int


class Peers:
    """The ranks together: the strategy, this rank's number and how many there are.

    ``collective`` and ``collective_cpu`` are the seconds inside all-reduces so far, wall and CPU
    of this process.
    """

    def __init__(self, strategy: Any, rank: int) -> None:
        self.rank, self.ranks = rank, int(strategy.num_replicas_in_sync)
        self.collective = self.collective_cpu = 0.0

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def summed(part: Any) -> Any:
            return strategy.run(_all_reduce, args=(part,))

        self._summed = summed

    def share(self, count: int) -> tuple[int, int]:
        """Return this rank's contiguous part of count things: start, stop."""
        return self.rank * count // self.ranks, (self.rank + 1) * count // self.ranks

    def total(self, values: Any) -> Matrix:
        """Return the sum of values [n], a tensor or an array, over the ranks, the same on each."""
        part = tf.convert_to_tensor(values)
        began, cpu = time.monotonic(), time.process_time()
        sums = self._summed(part).numpy()
        self.collective += time.monotonic() - began
        self.collective_cpu += time.process_time() - cpu
        return np.asarray(sums, dtype=np.float64)


def _all_reduce(part: Any) -> Any:
    context = tf.distribute.get_replica_context()
    # The copy lies on this replica's device; a bare argument lies on none and is refused.
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(part))


def start() -> Peers:
    """Fix threads, seeds and determinism, then join the ranks that TF_CONFIG names."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    threads = int(os.environ.get("BENCH_THREADS", "1"))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    rank = int(json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0))
    return Peers(strategy, rank)


def generate(spec: generators.Spec, first: int, stop: int) -> Shard:
    """Fill the rows first to stop straight into their two matrices."""
    mask = generators.is_test(first, stop - first)
    tests = int(mask.sum())
    before = first // generators.TEST_EVERY
    shard = Shard(
        train=np.empty((len(mask) - tests, spec.features)),
        train_labels=np.empty(len(mask) - tests),
        test=np.empty((tests, spec.features)),
        test_labels=np.empty(tests),
        place=np.arange(before, before + tests),
        held_out=spec.rows // generators.TEST_EVERY,
    )
    done = held = 0
    for row, values, labels in generators.blocks(first, stop, spec):
        chosen = mask[row - first : row - first + len(labels)]
        kept, out = int((~chosen).sum()), int(chosen.sum())
        np.compress(~chosen, values, axis=0, out=shard.train[done : done + kept])
        np.compress(chosen, values, axis=0, out=shard.test[held : held + out])
        shard.train_labels[done : done + kept] = labels[~chosen]
        shard.test_labels[held : held + out] = labels[chosen]
        done, held = done + kept, held + out
    return shard


def generated(report: Report, peers: Peers) -> Shard:
    """Return this rank's generated rows, whole blocks; nothing but the check is left to do."""
    with report.stage("source"):
        spec = generators.spec_of(report.data)
        first, last = peers.share(spec.block_count())
        rows = generators.BLOCK_ROWS
        shard = generate(spec, min(first * rows, spec.rows), min(last * rows, spec.rows))
    with report.stage("validate"):
        labels = np.concatenate([shard.train_labels, shard.test_labels])
        if not np.isin(labels, (0.0, 1.0)).all():
            raise ValueError("labels other than 0 and 1 were generated")
    with report.stage("preprocess"):
        # The split was made while the rows were laid down, to spare a copy.
        pass
    return shard


def flown(report: Report, peers: Peers) -> tuple[flights.Table, tuple[int, int]]:
    """Return all flights, joined and labelled, and which rows are this rank's."""
    with report.stage("source"):
        # Reading, the drop of unknown delays and the join are one pass over the text.
        table = flights.load(flights.root())
    with report.stage("validate"):
        if not len(table.labels) or np.isnan(table.numbers[:, 0]).any():
            raise ValueError("flights without a distance, or none at all")
    with report.stage("preprocess"):
        part = peers.share(len(table.labels))
    return table, part


def encode(table: flights.Table, part: tuple[int, int]) -> Shard:
    """Learn the encoding from all training rows; encode this rank's part."""
    encoding = flights.fit(table)
    rows = np.arange(*part)
    mine = table.test[rows]
    before = int(table.test[: part[0]].sum())
    return Shard(
        train=flights.encode(table, encoding, rows[~mine]),
        train_labels=table.labels[rows[~mine]],
        test=flights.encode(table, encoding, rows[mine]),
        test_labels=table.labels[rows[mine]],
        place=np.arange(before, before + int(mine.sum())),
        held_out=int(table.test.sum()),
    )


def totals(shard: Shard, peers: Peers) -> tuple[Matrix, Matrix]:
    """Return sums over all ranks: of training rows and of all rows, [2 + 2 f] each.

    Each: count, labels, features [f], squared features [f].
    """
    parts = []
    for values, labels in ((shard.train, shard.train_labels), (shard.test, shard.test_labels)):
        squares = np.einsum("ij,ij->j", values, values)
        parts.append(np.concatenate([[len(labels), labels.sum()], values.sum(axis=0), squares]))
    both = peers.total(np.concatenate(parts)).reshape(2, -1)
    return both[0], both[0] + both[1]


def to_tensor(shard: Shard) -> Any:
    """Move the training rows [n, f] into TensorFlow's memory; the numpy copy is released."""
    values = tf.constant(shard.train)
    shard.train = np.empty((0, shard.train.shape[1]))
    return values


def objective(
    values: Any, shard: Shard, peers: Peers, rows: int, regularization: float
) -> Callable[[Matrix], tuple[float, Matrix]]:
    """Return the task's objective and gradient over all ranks, of (weights, intercept) [f + 1].

    values: the shard's training rows [n, f]; rows: how many all ranks have.
    """
    labels = tf.constant(shard.train_labels)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def local(point: Any) -> Any:
        margins = tf.linalg.matvec(values, point[:-1]) + point[-1]
        loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=margins))
        residual = tf.sigmoid(margins) - labels
        gradient = tf.linalg.matvec(values, residual, transpose_a=True)
        return tf.concat([gradient, [tf.reduce_sum(residual)], [loss]], axis=0)

    def value(point: Matrix) -> tuple[float, Matrix]:
        # Two calls, so that computing and waiting for the other ranks are timed apart; one that
        # is dispatched without an end would let the first one's time fall into the second.
        part = local(tf.constant(point)).numpy()
        sums = peers.total(part)
        gradient = sums[:-1] / rows
        gradient[:-1] += regularization * point[:-1]
        return quality.penalised(float(sums[-1]), rows, point[:-1], regularization), gradient

    return value


def constant_model(sums: Matrix) -> Matrix:
    """Return the best model without weights [f + 1], where MLlib starts, too; sums by totals."""
    count, positive = sums[0], sums[1]
    weights = np.zeros((len(sums) - 2) // 2)
    return np.append(weights, np.log(positive / (count - positive)))


def judge(report: Report, shard: Shard, peers: Peers, model: Matrix) -> float:
    """Return the exact AUC of all held-out rows: each rank puts its scores in their places."""
    both = np.zeros((2, shard.held_out))
    both[0, shard.place] = shard.test @ model[:-1] + model[-1]
    both[1, shard.place] = shard.test_labels
    scores, labels = peers.total(both.ravel()).reshape(2, -1)
    area = quality.auc(scores, labels)
    report.measure("auc", area, item="test")
    return area


def score(values: Any, shard: Shard, model: Matrix) -> int:
    """Compute the probability of each of this rank's rows; return how many there are."""
    weights = tf.constant(model[:-1])
    done = 0
    for rows in (values, tf.constant(shard.test)):
        done += len(tf.sigmoid(tf.linalg.matvec(rows, weights) + model[-1]).numpy())
    return done


def describe(report: Report, moments: dict[str, float | int]) -> None:
    """Tell which data this is."""
    of_flights = report.data["name"] == flights.NAME
    digest = (
        flights.digest(flights.root())
        if of_flights
        else generators.digest(generators.spec_of(report.data))
    )
    report.dataset(
        "train", name=report.data["name"], digest=digest, rows=moments["count"], moments=moments
    )


def prepare(report: Report, peers: Peers) -> tuple[Any, Shard, Matrix, Matrix]:
    """Do all stages before `train`; return the training rows [n, f], the shard and both totals."""
    if report.data["name"] == flights.NAME:
        table, part = flown(report, peers)
        with report.stage("features"):
            shard = encode(table, part)
            del table
            sums, everything = totals(shard, peers)
            values = to_tensor(shard)
    else:
        shard = generated(report, peers)
        with report.stage("features"):
            sums, everything = totals(shard, peers)
            values = to_tensor(shard)
    return values, shard, sums, everything


def train(
    report: Report, function: Callable[[Matrix], tuple[float, Matrix]], sums: Matrix
) -> tuple[Matrix, lbfgs.Minimum]:
    """Minimise; return the model's vector [features + 1] and how it went."""
    found = lbfgs.minimize(
        function,
        constant_model(sums),
        tolerance=float(report.params["tolerance"]),
        max_iterations=int(report.params["max_iterations"]),
    )
    report.measure("iterations", found.iterations)
    report.measure("evaluations", found.calls)
    return found.x, found


def one_pass(report: Report, peers: Peers, number: int) -> tuple[Matrix, dict[str, Any]]:
    """Do the whole work once; return the model's vector [features + 1] and its quality."""
    began = time.monotonic()
    collective, collective_cpu = peers.collective, peers.collective_cpu
    values, shard, sums, everything = prepare(report, peers)
    if number == 0:
        parts = np.split(everything[2:], 2)
        describe(report, generators.moments(int(everything[0]), everything[1], *parts))
    regularization = float(report.params["regularization"])
    function = objective(values, shard, peers, int(sums[0]), regularization)
    with report.stage("train"):
        model, found = train(report, function, sums)
    with report.stage("evaluate"):
        value, _ = function(model)
        area = judge(report, shard, peers, model)
    with report.stage("score"):
        score(values, shard, model)
    report.measure("objective", value, item="train")
    report.measure("throughput", everything[0] / (time.monotonic() - began))
    report.measure("collective", peers.collective - collective)
    report.measure("collective_cpu", peers.collective_cpu - collective_cpu)
    return model, {
        "objective": value,
        "auc": area,
        "iterations": found.iterations,
        "converged": found.converged,
        "precision": "float64",
    }


def main() -> None:
    """Run this rank's part of the job that the argument describes."""
    report = Report.read()
    report.versions(tensorflow=tf.__version__)
    peers = start()
    peers.total(np.zeros(1))
    report.ready(workers=peers.ranks)
    for number in report.passes():
        model, facts = one_pass(report, peers, number)
    report.quality(vector=model, **facts)
    if peers.rank == 0:
        report.artefact("model", lambda path: np.save(path, model), suffix=".npy")
    report.end()


if __name__ == "__main__":
    main()
