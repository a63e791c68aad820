"""The records of ``workload.toml``, a workload's manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from bench.records.metrics import BUILT_IN, Metric
from bench.records.results import QualityLimits
from bench.records.values import Scalar
from bench.text import quote

ParamType = Literal["int", "float", "bool", "text"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
STAGES = ("source", "validate", "preprocess", "features", "train", "evaluate", "score", "infer")
Named = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "text": "text",
}
_LARGEST = 2**63


class Param(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One parameter: its type, default and bounds (inclusive)."""

    type: ParamType
    default: Scalar
    min: float | None = None
    max: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: str = ""

    def accept(self, value: object) -> Scalar:
        """Return the value in the parameter's type; ValueError says what is allowed."""
        taken = typed(value, self.type)
        if taken is None or not self._within(taken):
            raise ValueError(f"{quote(value)} is not allowed; {self.allowed()} is")
        return taken

    def allowed(self) -> str:
        """Return a description of the allowed values."""
        if self.choices:
            return "one of " + ", ".join(quote(choice) for choice in self.choices)
        least = "" if self.min is None else f" from {self.min:g}"
        most = "" if self.max is None else f" to {self.max:g}"
        return f"{_EXPECTED[self.type]}{least}{most}"

    def _within(self, value: Scalar) -> bool:
        if self.choices and value not in self.choices:
            return False
        if isinstance(value, (bool, str)):
            return True
        low = -math.inf if self.min is None else self.min
        high = math.inf if self.max is None else self.max
        return low <= value <= high


class BuiltIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dataset that the workload knows by name; ``params`` are the generator's, with defaults."""

    role: Literal["train", "score"] = "train"
    generator: str | None = None
    params: Mapping[str, Scalar] = {}
    help: str = ""

    def accept(self, key: str, value: object) -> Scalar:
        """Return the value in the type of the key's default; ValueError says what is allowed."""
        kind = type_name(self.params[key])
        taken = typed(value, kind)
        if taken is None:
            raise ValueError(f"{quote(value)} is not allowed; {_EXPECTED[kind]} is")
        return taken


class VectorRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the projections of two runs' vectors may be apart, as a part of the norm."""

    projections: Positive
    relative_to: Literal["norm"] = "norm"


Tolerances = Mapping[Named, Positive | VectorRule]


class QualityRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When two runs have equal quality: required figures, and the allowed differences.

    A figure without a tolerance at the rule's precision is not compared.
    """

    require: Mapping[Named, Scalar] = {}
    precision: Literal["float64", "float32"] = "float64"
    float64: Tolerances = {}
    float32: Tolerances = {}

    def limits(self) -> QualityLimits:
        """Return the rule at its precision, as a bundle keeps it."""
        stated = self.float64 if self.precision == "float64" else self.float32
        return QualityLimits(
            tolerances={
                name: value.projections if isinstance(value, VectorRule) else value
                for name, value in stated.items()
            },
            requires=self.require,
        )


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload: ``files`` belong to its bundle besides ``entry``.

    ``stages`` are the pipeline stages that it reports, in their order.
    """

    name: Named
    task: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*/[0-9]+$")]
    engine: Named
    entry: str
    files: tuple[str, ...] = ()
    stages: tuple[Named, ...] = ()
    help: str = ""
    params: Mapping[Named, Param] = {}
    metrics: Mapping[Named, Metric] = {}
    dataset: Mapping[Named, BuiltIn] = {}
    quality: QualityRule = QualityRule()

    def all_metrics(self) -> dict[str, Metric]:
        """Return every metric of the workload: those it declares, and time."""
        return {**BUILT_IN, **self.metrics}

    def generators(self) -> dict[str, BuiltIn]:
        """Return generator -> the dataset with its defaults: that of its name, else the first."""
        generators: dict[str, BuiltIn] = {}
        for name, data in self.dataset.items():
            if data.generator and (data.generator not in generators or name == data.generator):
                generators[data.generator] = data
        return generators


def type_name(value: Scalar) -> ParamType:
    """Return the name of a value's type as manifests write it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    return "float" if isinstance(value, float) else "text"


def typed(value: object, kind: ParamType) -> Scalar | None:
    """Return the value in that type (a whole number is taken for a float), or None."""
    if isinstance(value, bool):
        return value if kind == "bool" else None
    if isinstance(value, str):
        return value if kind == "text" else None
    if kind == "int":
        return value if isinstance(value, int) and -_LARGEST <= value < _LARGEST else None
    if kind == "float" and isinstance(value, (int, float)):
        number = float(value) if abs(value) < _LARGEST or isinstance(value, float) else math.inf
        return number if math.isfinite(number) else None
    return None
