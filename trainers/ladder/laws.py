"""The least-squares and Huber fits below the scaling law: arrays in, parameters out.

Step 1's parameters are always (a, b, alpha, beta, E) of L(N, D) = e^a / N^alpha + e^b / D^beta + E, step 2's
(a, L0, k, b) of acc(L) = a / (1 + exp(-k (L - L0))) + b. N, D and L are arrays of one entry a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit, least_squares, minimize, nnls

from trainers.process.errors import TrainerError

Array = NDArray[np.float64]
Numbers = Sequence[float] | NDArray[np.floating]

HUBER_DELTA = 1e-3
STEP1_START = (3.0, 6.0, 0.1, 0.2, 1.0)
"""a, b, alpha, beta, E from which the five-parameter fit sets out."""
FIXED_EXPONENTS = (0.34, 0.28)
"""alpha and beta of Hoffmann et al. (arXiv 2203.15556), for ladders too small to fit them."""
EXPONENT_BOUNDS = (0.01, 2.0)
LARGEST_LOG = 100.0


def one_thread() -> AbstractContextManager[object]:
    """BLAS on one thread, where threadpoolctl is installed.

    Threads of BLAS wait for each other for twenty times as long as these small fits compute.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(limits=1, user_api="blas")


def loss_at(parameters: Array, n: float | Array, d: float | Array) -> Array:
    """Loss in bits per byte of step 1's five parameters at N parameters and D tokens."""
    a, b, alpha, beta, floor = parameters
    return _power(a, alpha, n) + _power(b, beta, d) + floor


def _power(log_scale: float, exponent: float, x: float | Array) -> Array:
    """e^log_scale / x^exponent, kept finite on the steps that a line search takes too far."""
    return np.exp(np.minimum(log_scale - exponent * np.log(x), LARGEST_LOG))


def fit_five_parameters(n: Array, d: Array, loss: Array) -> Array:
    """The published fit; a second start from the fixed-exponent fit serves ladders far from the published scale."""
    with one_thread():
        published = _minimise_huber(n, d, loss, STEP1_START)
        near = _minimise_huber(n, d, loss, tuple(fit_at_exponents(n, d, loss, *FIXED_EXPONENTS)))
    return min(published, near, key=lambda parameters: _huber(parameters, n, d, loss)[0])


def _minimise_huber(n: Array, d: Array, loss: Array, start: Numbers) -> Array:
    """a, b, alpha, beta, E at the least Huber loss."""
    result = minimize(
        _huber,
        np.maximum(np.asarray(start, dtype=float), 0.0),
        args=(n, d, loss),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * 5,
        options={"ftol": 0.0, "gtol": 1e-10, "maxiter": 1_000_000, "maxfun": 1_000_000},
    )
    return result.x


def fit_profiled(n: Array, d: Array, loss: Array, start: tuple[float, float]) -> Array:
    """Least squares of relative residuals: a search over the two exponents, the rest solved exactly at each."""

    def residuals(exponents: Array) -> Array:
        return loss_at(fit_at_exponents(n, d, loss, *exponents), n, d) / loss - 1.0

    low, high = EXPONENT_BOUNDS
    inside = np.clip(start, 1.01 * low, 0.99 * high)
    result = least_squares(residuals, inside, bounds=EXPONENT_BOUNDS, x_scale=0.1, max_nfev=100)
    return fit_at_exponents(n, d, loss, *result.x)


def _huber(parameters: Array, n: Array, d: Array, loss: Array) -> tuple[float, Array]:
    """Sum of Huber losses of log(fitted) - log(measured), and its gradient by the five parameters."""
    a, b, alpha, beta, floor = parameters
    log_n, log_d = np.log(n), np.log(d)
    size_term, data_term = _power(a, alpha, n), _power(b, beta, d)
    fitted = size_term + data_term + floor
    residual = np.log(fitted) - np.log(loss)
    inside = np.abs(residual) < HUBER_DELTA
    value = np.where(inside, 0.5 * residual**2, HUBER_DELTA * (np.abs(residual) - 0.5 * HUBER_DELTA))
    slope = np.clip(residual, -HUBER_DELTA, HUBER_DELTA) / fitted
    gradient = np.array(
        [
            slope @ size_term,
            slope @ data_term,
            -slope @ (size_term * log_n),
            -slope @ (data_term * log_d),
            slope.sum(),
        ]
    )
    return float(value.sum()), gradient


def fit_at_exponents(n: Array, d: Array, loss: Array, alpha: float, beta: float) -> Array:
    """Non-negative least squares of relative residuals for e^a, e^b and E at given exponents."""
    size_term, data_term = (n / n[0]) ** -alpha, (d / d[0]) ** -beta
    design = np.column_stack([size_term, data_term, np.ones_like(loss)]) / loss[:, None]
    weights, _ = nnls(design, np.ones_like(loss))
    least = 1e-12
    a = np.log(max(weights[0], least)) + alpha * np.log(n[0])
    b = np.log(max(weights[1], least)) + beta * np.log(d[0])
    return np.array([a, b, alpha, beta, weights[2]])


def sigmoid(loss: Array, a: float, middle: float, k: float, b: float) -> Array:
    """Accuracy of step 2's four parameters at a loss."""
    return a / (1.0 + np.exp(-np.clip(k * (loss - middle), -500.0, 500.0))) + b


def _sigmoid_slopes(loss: Array, a: float, middle: float, k: float, b: float) -> Array:
    """Derivatives of the sigmoid by a, L0, k and b, shape (points, 4)."""
    share = sigmoid(loss, 1.0, middle, k, 0.0)
    steep = a * share * (1.0 - share)
    return np.column_stack([share, -k * steep, (loss - middle) * steep, np.ones_like(loss)])


def fit_sigmoid(
    loss: Array,
    accuracy: Array,
    chance: float,
    ideal_point: bool,
    asymptotes_free: bool,
    *,
    start: tuple[float, ...] | None = None,
) -> Array:
    """a, L0, k, b by least squares from the published start, and from one in the middle of the data."""
    x = np.append(loss, 0.0) if ideal_point else loss
    y = np.append(accuracy, 1.0) if ideal_point else accuracy
    starts = [start] if start else [(chance - 1.0, 0.9, 3.0, 1.0), (chance - 1.0, float(np.median(loss)), 3.0, 1.0)]
    fits: list[Array] = []
    for first in starts:
        try:
            if asymptotes_free:
                bounds = ([-1.0, 0.0, 0.0, 0.0], [0.0, np.inf, np.inf, 1.0])
                fitted, _ = curve_fit(sigmoid, x, y, p0=first, bounds=bounds, jac=_sigmoid_slopes, max_nfev=20_000)
            else:
                fixed, _ = curve_fit(
                    lambda at, middle, k: sigmoid(at, chance - 1.0, middle, k, 1.0),
                    x,
                    y,
                    p0=first[1:3],
                    bounds=([0.0, 0.0], [np.inf, np.inf]),
                    max_nfev=20_000,
                )
                fitted = np.array([chance - 1.0, *fixed, 1.0])
            fits.append(fitted)
        except RuntimeError:
            continue
    if not fits:
        raise TrainerError(
            "step 2 of the scaling law did not converge",
            "evaluate on more questions: accuracy does not follow loss closely enough",
        )
    return min(fits, key=lambda parameters: float(np.sum((sigmoid(x, *parameters) - y) ** 2)))
