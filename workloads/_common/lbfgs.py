"""L-BFGS with a strong-Wolfe line search, in numpy (small vectors; the data stays elsewhere)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Function = Callable[[Vector], tuple[float, Vector]]

_DECREASE, _CURVATURE = 1e-4, 0.9
_WINDOW = 20
_GRADIENT_FLOOR = 1e-8


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Where minimize stopped: x [n], value, gradient's norm, iterations, calls, converged."""

    x: Vector
    value: float
    gradient_norm: float
    iterations: int
    calls: int
    converged: bool


@dataclass(frozen=True)
class _Point:
    """One point on a search line: step, value, gradient [n], slope along the line."""

    step: float
    value: float
    gradient: Vector
    slope: float


class _Line:
    """The objective along x + step * direction, counting its calls."""

    def __init__(self, function: Function, x: Vector, direction: Vector) -> None:
        self.function, self.x, self.direction, self.calls = function, x, direction, 0

    def at(self, step: float) -> _Point:
        value, gradient = self.function(self.x + step * self.direction)
        self.calls += 1
        return _Point(step, value, gradient, float(gradient @ self.direction))


def direction(gradient: Vector, pairs: deque[tuple[Vector, Vector]]) -> Vector:
    """Return -H gradient by the two-loop recursion.

    pairs: (s, y) from the oldest to the newest. Nocedal and Wright, Numerical Optimization,
    2nd ed., algorithm 7.4, with the initial scaling of equation 7.20.
    """
    q = gradient.copy()
    steps: list[tuple[float, float]] = []
    for s, y in reversed(pairs):
        rho = 1.0 / float(s @ y)
        alpha = rho * float(s @ q)
        q -= alpha * y
        steps.append((rho, alpha))
    if pairs:
        s, y = pairs[-1]
        q *= float(s @ y) / float(y @ y)
    for (s, y), (rho, alpha) in zip(pairs, reversed(steps), strict=True):
        q += s * (alpha - rho * float(y @ q))
    return -q


def _between(low: _Point, high: _Point) -> float:
    """Return the cubic interpolation's minimum (Nocedal and Wright, equation 3.59), kept inside."""
    width = high.step - low.step
    d1 = low.slope + high.slope - 3.0 * (low.value - high.value) / -width
    root = d1 * d1 - low.slope * high.slope
    middle = low.step + 0.5 * width
    if root < 0.0:
        return middle
    d2 = float(np.sign(width) * np.sqrt(root))
    bottom = high.slope - low.slope + 2.0 * d2
    if bottom == 0.0:
        return middle
    step = high.step - width * (high.slope + d2 - d1) / bottom
    inside = 0.1 * abs(width)
    first, last = min(low.step, high.step), max(low.step, high.step)
    return step if first + inside <= step <= last - inside else middle


def _zoom(line: _Line, start: _Point, low: _Point, high: _Point) -> _Point | None:
    """Narrow a bracket to a strong-Wolfe point: Nocedal and Wright, algorithm 3.6."""
    for _ in range(30):
        point = line.at(_between(low, high))
        ceiling = start.value + _DECREASE * point.step * start.slope
        if point.value > ceiling or point.value >= low.value:
            high = point
        else:
            if abs(point.slope) <= -_CURVATURE * start.slope:
                return point
            if point.slope * (high.step - low.step) >= 0.0:
                high = low
            low = point
        if abs(high.step - low.step) <= 1e-12 * max(abs(low.step), 1e-12):
            break
    return low if low.step > 0.0 and low.value < start.value else None


def search(line: _Line, start: _Point, step: float) -> _Point | None:
    """Return a strong-Wolfe point, or None where rounding leaves none.

    Nocedal and Wright, algorithm 3.5, doubling the step.
    """
    before = start
    for _ in range(30):
        point = line.at(step)
        ceiling = start.value + _DECREASE * step * start.slope
        if point.value > ceiling or (before is not start and point.value >= before.value):
            return _zoom(line, start, before, point)
        if abs(point.slope) <= -_CURVATURE * start.slope:
            return point
        if point.slope >= 0.0:
            return _zoom(line, start, point, before)
        before, step = point, 2.0 * step
    return None


def minimize(
    function: Function,
    x: Vector,
    *,
    tolerance: float,
    max_iterations: int,
    memory: int = 10,
) -> Minimum:
    """Minimize function(x) -> (value, gradient [n]) from x [n]; Nocedal and Wright, algorithm 7.5.

    Stops as MLlib's solver does (breeze, FirstOrderMinimizer): the objective fell by at most
    tolerance * |its first value| over the last 20 iterations, or the gradient's norm is at most
    max(tolerance * |value|, 1e-8). It has converged, too, where no lower point is found along
    the steepest descent: rounding is then what is left.
    """
    value, gradient = function(x)
    first, calls, iterations = abs(value), 1, 0
    recent: deque[float] = deque([value], maxlen=_WINDOW)
    pairs: deque[tuple[Vector, Vector]] = deque(maxlen=memory)
    converged = _flat(value, gradient, tolerance)
    while not converged and iterations < max_iterations:
        line = _Line(function, x, direction(gradient, pairs))
        start = _Point(0.0, value, gradient, float(gradient @ line.direction))
        length = 1.0 if pairs else min(1.0, 1.0 / float(np.linalg.norm(gradient)))
        point = search(line, start, length) if start.slope < 0.0 else None
        calls += line.calls
        if point is None:
            converged = not pairs
            pairs.clear()
            continue
        step = point.step * line.direction
        if float(step @ (point.gradient - gradient)) > 0.0:
            pairs.append((step, point.gradient - gradient))
        x, value, gradient = x + step, point.value, point.gradient
        iterations += 1
        recent.append(value)
        converged = max(recent) - value <= tolerance * first or _flat(value, gradient, tolerance)
    norm = float(np.linalg.norm(gradient))
    return Minimum(
        x=x,
        value=value,
        gradient_norm=norm,
        iterations=iterations,
        calls=calls,
        converged=converged,
    )


def _flat(value: float, gradient: Vector, tolerance: float) -> bool:
    return float(np.linalg.norm(gradient)) <= max(tolerance * abs(value), _GRADIENT_FLOOR)
