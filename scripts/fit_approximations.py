"""Derive the constants of the kernels' exp, GELU and tanh approximations and measure their errors.

Run it with NumPy and SciPy installed: ``python scripts/fit_approximations.py``. It is not part of
the
package: the printed constants are written into the kernels by hand. A change of any of them changes
results, so it needs a new numerics version.

Every formula is a short chain of fused multiply-adds, written down once below and used twice:
in float64 to fit it, in emulated float32 to measure it. A fit minimises the largest weighted
error by sequential linear programming: linearise in the constants, solve the linear minimax
problem, step, repeat. (For a formula that is linear in its constants this is the Remez result.)
The constants are then rounded to float32 one after the other. Each time the remaining ones are
fitted again, so that they compensate for the rounding. Nothing is random, but another SciPy may
give constants that differ in their last digits and are equally good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares, linprog  # type: ignore[import-untyped]
from scipy.special import log_ndtr, ndtr  # type: ignore[import-untyped]

Array = npt.NDArray[Any]
Fma = Callable[[Any, Any, Any], Any]

MAGIC = 1.5 * 2.0**23  # float32 neighbours here are whole numbers: adding it rounds to nearest even
LOG2E = float(np.float32(np.log2(np.e)))
LN2_HIGH = float(np.float32(np.log(2.0)))
LN2_LOW = float(np.float32(np.log(2.0) - LN2_HIGH))
EXP_BOUND = -87.0  # exp is +0 up to here; the smallest other result, 1.6e-38, is still normal
# Below -6.24, 255 * exp rounds to 0, but a row's sum includes what 500 such keys lose.
EXP_BYTE_BOUND = -12.0
GELU_BOUND = -5.75  # GELU(-5.75) = -2.6e-8: below this the result is constant
# Before rounding to 8 bits GELU(-4.5) = -1.5e-5 is close enough. Rows of small values have small
# steps: for |x| below the knee the allowed error is smaller by |x| / knee.
GELU_CODE_BOUND = -4.5
GELU_CODE_KNEE = 0.25
TANH_BOUND = 0.625  # below it tanh is a polynomial, from it on a quotient of exp(-2x)
GRID = 600  # points of a fit; more points do not change the constants' leading digits


# The formulas --------------------------------------------------------------------------------


def real_fma(a: Any, b: Any, c: Any) -> Any:
    """The multiply-add of the fits: float64, or complex to differentiate by complex steps."""
    return a * b + c


def float32_fma(a: Any, b: Any, c: Any) -> Any:
    """A float32 fused multiply-add.

    The product is exact in float64; the sum is rounded to float64 first, which changes about
    one result in 2**28 by its last bit: enough for measuring, not for the kernels themselves.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    return (product + np.asarray(c, np.float64)).astype(np.float32)


def horner(x: Any, coefficients: Any, fma: Fma) -> Any:
    """Evaluate a polynomial whose coefficients are given from the constant term upwards."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = fma(value, x, coefficient)
    return value


def square_repeatedly(q: Any, shifts: Any, fma: Fma) -> Any:
    """Square and add a constant, once for each shift."""
    for shift in shifts:
        q = fma(q, q, shift)
    return q


def exp_reduced(r: Any, c: Any, fma: Fma) -> Any:
    """exp(r) for |r| <= ln(2) / 2 as a polynomial; its constant term 1 makes exp(0) exact."""
    return fma(horner(r, c, fma), r, 1.0)


def sqrt_exp_byte(x: Any, c: Any, fma: Fma) -> Any:
    """sqrt(255 * exp(x)): an affine step, then shifted squarings; c = (A, B, D1, D2, ...)."""
    return square_repeatedly(fma(x, c[0], c[1]), c[2:], fma)


def normal_tail(n: Any, c: Any, degree: int, fma: Fma) -> Any:
    """Phi(n), n <= 0: a polynomial, then squarings, all but the last shifted.

    c = (G0, G1, ..., D1, D2, ...). Roots of Phi of order 2, 4, 8, ... are closer and closer to
    polynomials of low degree, so this is shorter than a quotient or a polynomial for Phi itself.
    """
    return square_repeatedly(horner(n, c[: degree + 1], fma), (*c[degree + 1 :], 0.0), fma)


def tanh_excess(x: Any, c: Any, fma: Fma) -> Any:
    """tanh(x) / x - 1 for small x: a polynomial of x * x without constant term."""
    square = x * x
    return horner(square, c, fma) * square


# Fitting -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Find constants for which ``model(constants)`` is close to ``target`` on a grid."""

    model: Callable[[Array], Array]
    target: Array
    weight: Array

    def errors(self, constants: Array) -> Array:
        """Return the weighted error at every grid point."""
        return np.asarray((self.model(constants) - self.target) * self.weight)

    def largest_error(self, constants: Array) -> float:
        """Return the value that a fit minimises."""
        return float(np.abs(self.errors(constants)).max())

    def jacobian(self, constants: Array, free: Sequence[int]) -> Array:
        """Differentiate ``errors`` by the free constants, exactly (complex steps)."""
        columns = []
        for i in free:
            shifted = constants.astype(complex)
            shifted[i] += 1e-30j
            columns.append(self.model(shifted).imag / 1e-30 * self.weight)
        return np.stack(columns, axis=1)


def minimax(problem: Problem, start: Array, free: Sequence[int]) -> Array:
    """Minimise the largest weighted error over the free constants, from ``start`` on."""
    constants, best = start, problem.largest_error(start)
    trust = 1e3  # largest step, in units of the change that moves some error by `best`
    for _ in range(100):
        jacobian = problem.jacobian(constants, free)
        scale = np.abs(jacobian).max(axis=0)
        # Variables: the scaled steps and the bound on all |errors|, both in units of `best`.
        rows = np.hstack([jacobian / scale, np.zeros((len(jacobian), 1))])
        bound = np.eye(1, len(free) + 1, len(free))
        errors = problem.errors(constants) / best
        step = linprog(
            bound[0],
            A_ub=np.vstack([rows - bound, -rows - bound]),
            b_ub=np.concatenate([-errors, errors]),
            bounds=[(-trust, trust)] * len(free) + [(0.0, None)],
            method="highs",
        ).x
        candidate = constants.copy()
        if step is not None:
            candidate[list(free)] += step[:-1] * best / scale
        error = problem.largest_error(candidate)
        if step is None or not error < best:
            trust /= 4
            if trust < 1e-6:
                break
            continue
        converged = error > best * (1 - 1e-6)
        constants, best, trust = candidate, error, trust * 3
        if converged:
            break
    return constants


def fit_float32(problem: Problem, start: Array) -> Array:
    """Fit all constants, then round one after the other; after each, fit the remaining ones."""
    constants = minimax(problem, start, range(len(start)))
    for i in range(len(constants)):
        constants[i] = np.float32(constants[i])
        if i + 1 < len(constants):
            constants = minimax(problem, constants, range(i + 1, len(constants)))
    return constants


def grid(low: float, high: float) -> Array:
    """Chebyshev points: dense at both ends, where minimax errors change fastest."""
    return low + (high - low) * (1 - np.cos(np.linspace(0, np.pi, GRID))) / 2


def fit_exp(degree: int) -> Array:
    """Constants of ``exp_reduced``: relative error on the reduced range and a little more."""
    r = grid(-0.3466, 0.3466)
    start = np.array([1 / np.prod(np.arange(1.0, k + 1)) for k in range(1, degree + 1)])
    return fit_float32(Problem(lambda c: exp_reduced(r, c, real_fma), np.exp(r), np.exp(-r)), start)


def fit_exp_byte(squarings: int) -> Array:
    """Constants of ``sqrt_exp_byte``: absolute error of 255 * exp(x) above the bound."""
    x = grid(EXP_BYTE_BOUND, 0.0)
    # exp(z) is nearly ((1 + z)**2 + 1) / 2; with z = x / half only squarings follow.
    half = 2.0 ** (squarings - 1)
    top = 255.0 ** (1 / half)
    start = np.zeros(squarings + 1)
    start[:3] = np.sqrt(top / 2) / half, np.sqrt(top / 2), top / 2
    problem = Problem(
        lambda c: sqrt_exp_byte(x, c, real_fma) ** 2, 255 * np.exp(x), np.ones_like(x)
    )
    # From this start the minimax steps end in a poor local optimum; least squares do not.
    near = least_squares(
        problem.errors, start, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=10_000
    )
    return fit_float32(problem, near.x)


def fit_gelu(degree: int, squarings: int, bound: float, knee: float) -> Array:
    """Constants of ``normal_tail``: absolute error of GELU itself, n * Phi(n).

    Between -knee and 0 the error is weighted by knee / -n, which bounds it relative to n.
    """
    n = grid(bound, 0.0)
    power = 2.0**squarings
    root = np.exp(log_ndtr(n) / power)
    # The power's derivative and n multiply the polynomial's error.
    importance = -n * ndtr(n) / root + 1e-7
    powers = np.vander(n, degree + 1, increasing=True)
    start = np.linalg.lstsq(powers * importance[:, None], root * importance, rcond=None)[0]
    weight = np.maximum(1, knee / np.maximum(-n, 1e-6))
    problem = Problem(lambda c: n * normal_tail(n, c, degree, real_fma), n * ndtr(n), weight)
    return fit_float32(problem, np.concatenate([start, np.zeros(squarings - 1)]))


def fit_tanh(degree: int) -> Array:
    """Constants of ``tanh_excess``: relative error of tanh up to the bound."""
    x = grid(1e-3, TANH_BOUND)
    square = x * x
    powers = np.vander(square, degree + 1, increasing=True) * square[:, None]
    start = np.linalg.lstsq(powers, np.tanh(x) / x - 1, rcond=None)[0]
    problem = Problem(lambda c: tanh_excess(x, c, real_fma), np.tanh(x) / x - 1, x / np.tanh(x))
    return fit_float32(problem, start)


# Measuring -----------------------------------------------------------------------------------


def every_nth_float32(low: float, high: float, count: int) -> Array:
    """About ``count`` float32 numbers 0 <= low <= x <= high at equal steps of their bits."""
    first, last = np.array([low, high], np.float32).view(np.int32).tolist()
    bits = np.arange(first, last, (last - first) // count)
    return np.append(bits, last).astype(np.int32).view(np.float32)


def exp_float32(x: Array, constants: Array) -> Array:
    """Evaluate exp(x) for EXP_BOUND < x <= 0 in float32 as the kernels do."""
    t = float32_fma(x, LOG2E, MAGIC)
    k = t - np.float32(MAGIC)
    r = float32_fma(k, -LN2_LOW, float32_fma(k, -LN2_HIGH, x))
    bits = exp_reduced(r, constants, float32_fma).view(np.uint32) + (t.view(np.uint32) << 23)
    return np.asarray(bits.view(np.float32))


def gelu_float32(x: Array, constants: Array, degree: int, bound: float) -> Array:
    """Evaluate GELU(x) = max(x, 0) - |x| * Phi(-|x|) in float32 as the kernels do."""
    n = np.maximum(-np.abs(x), np.float32(bound))
    tail = normal_tail(n, constants, degree, float32_fma)
    return np.asarray(float32_fma(n, tail, np.maximum(x, np.float32(0))))


def tanh_float32(x: Array, small: Array, exponential: Array) -> Array:
    """Evaluate tanh(x) for 0 <= x in float32 as the kernels do."""
    power = exp_float32(np.maximum(np.float32(-2) * x, np.float32(EXP_BOUND * 0.999)), exponential)
    quotient = (np.float32(1) - power) / (np.float32(1) + power)
    near_zero = float32_fma(tanh_excess(x, small, float32_fma), x, x)
    return np.where(x < np.float32(TANH_BOUND), near_zero, quotient)


def hex_float(value: float) -> str:
    """Format a float32 as a C literal."""
    mantissa, exponent = float(value).hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}f"


def report(title: str, constants: Sequence[tuple[str, float]], errors: Array, x: Array) -> None:
    """Print one formula's constants and its worst point."""
    worst = int(np.abs(errors).argmax())
    print(f"\n{title}")
    for name, value in constants:
        print(f"  {name:9s} {hex_float(value):>18s}  {value:.9g}")
    print(f"  largest error {abs(errors[worst]):.3g} at x = {x[worst]:.9g} ({len(x)} points)")


def numbered(prefix: str, constants: Array, first: int = 0) -> list[tuple[str, float]]:
    """Number the constants."""
    return [(f"{prefix}{i + first}", float(value)) for i, value in enumerate(constants)]


def report_gelu(title: str, degree: int, squarings: int, bound: float, knee: float) -> None:
    """Fit, measure and print GELU with one number of coefficients."""
    c = fit_gelu(degree, squarings, bound, knee)
    x = every_nth_float32(2.0**-30, 10.0, 2_000_000)
    x = np.concatenate([-x, x])
    error = gelu_float32(x, c, degree, bound) - x * ndtr(x.astype(float))
    table = [*numbered("G", c[: degree + 1]), *numbered("D", c[degree + 1 :], first=1)]
    size = np.abs(x)
    report(f"{title}, error / max(1, |x|)", table, error / np.maximum(1, size), x)
    print(f"  largest error / |x| {(np.abs(error) / size).max():.3g}")


def main() -> None:
    """Fit, measure and print every formula."""
    c = fit_exp(degree=5)
    x = -every_nth_float32(2.0**-30, -EXP_BOUND * 0.9999999, 2_000_000)
    reduction = [("LOG2E", LOG2E), ("LN2_HIGH", LN2_HIGH), ("LN2_LOW", LN2_LOW)]
    error = exp_float32(x, c) / np.exp(x.astype(float)) - 1
    report("exp, relative error", [*reduction, *numbered("C", c, first=1)], error, x)

    small = fit_tanh(degree=3).astype(np.float32)
    x = every_nth_float32(2.0**-30, 40.0, 2_000_000)
    error = tanh_float32(x, small, c) / np.tanh(x.astype(float)) - 1
    report("tanh, relative error", numbered("T", small), error, x)

    c = fit_exp_byte(squarings=5)
    x = -every_nth_float32(2.0**-30, -EXP_BYTE_BOUND, 2_000_000)
    root = sqrt_exp_byte(x, c, float32_fma)
    error = root.astype(float) ** 2 - 255 * np.exp(x.astype(float))
    u_min = float(float32_fma(EXP_BYTE_BOUND, c[0], c[1]))
    table = [("A", c[0]), ("B", c[1]), *numbered("D", c[2:], first=1), ("U_MIN", u_min)]
    report("255 * exp, absolute error before rounding", table, error, x)

    report_gelu("GELU", degree=7, squarings=3, bound=GELU_BOUND, knee=0.0)
    report_gelu("GELU before 8 bits", 2, squarings=4, bound=GELU_CODE_BOUND, knee=GELU_CODE_KNEE)


if __name__ == "__main__":
    main()
