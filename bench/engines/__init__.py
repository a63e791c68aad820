"""Start an engine on given hosts; ``ENGINES`` is the only list of engines."""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import Engine
from bench.engines.spark.engine import SparkEngine
from bench.engines.tensorflow.engine import TensorFlowEngine

ENGINES: Mapping[str, Engine] = {
    engine.name: engine for engine in (SparkEngine(), TensorFlowEngine())
}
