"""Unbiased MMD of many tokens, in pieces that fit the cache of a processor."""

import contextlib
import importlib

import numpy as np

from keras_align.divergences.maximum_mean_discrepancy import kernel_precision

ROWS = 256  # of a matrix of kernels that are in memory at once


def pooled_discrepancies(
    query: np.ndarray, key: np.ndarray, bandwidth: float
) -> np.ndarray:
    """`divergences.maximum_mean_discrepancy(..., unbiased=True)` without gradient.

    Args:
        query: float array `(T, N, H)`.
        key: float array `(S, N, H)`.
        bandwidth: float > 0, the kernel's standard deviation.

    Returns:
        float64 array `(N,)`.
    """
    query, key = (np.asarray(z, "float32") for z in (query, key))
    with _one_thread():
        return np.array(_of_heads(query, key, bandwidth))


def _of_heads(query, key, bandwidth):
    center = (np.mean(query, axis=0) + np.mean(key, axis=0)) / 2.0
    precision = np.float32(kernel_precision(bandwidth))
    values = []
    for head in range(query.shape[1]):
        x, y = (np.ascontiguousarray(z[:, head] - center[head]) for z in (query, key))
        between = _sum_of_kernels(x, y, precision) / (len(x) * len(y))
        within = _mean_of_pairs(x, precision) + _mean_of_pairs(y, precision)
        values.append(within - 2.0 * between)
    return values


def _one_thread():
    """Of NumPy's products, where threadpoolctl is installed, as by scikit-learn.

    They are small: on a busy machine their threads wait for each other ten times longer
    than one of them needs.
    """
    try:
        return importlib.import_module("threadpoolctl").threadpool_limits(1, "blas")
    except ImportError:
        return contextlib.nullcontext()


def _mean_of_pairs(x, precision):
    """Mean over the pairs of different tokens; a single token is its own pair."""
    count = len(x)
    if count == 1:
        return 1.0
    return _sum_of_kernels(x, x, precision, of_others=True) / (count * (count - 1))


def _sum_of_kernels(x, y, precision, of_others=False):
    """`sum_ij exp(-precision |x_i - y_j|^2 / 2)`, with `of_others` without `i = j`."""
    x_square, y_square = (0.5 * np.sum(np.square(z), axis=-1) for z in (x, y))
    total, memory = 0.0, np.empty((ROWS, len(y)), "float32")
    for begin in range(0, len(x), ROWS):
        piece = x[begin : begin + ROWS]
        exponents = np.matmul(piece, y.T, out=memory[: len(piece)])
        exponents -= x_square[begin : begin + ROWS, None]
        exponents -= y_square
        np.minimum(exponents, 0.0, out=exponents)
        with np.errstate(over="ignore"):  # to -inf, whose kernel is 0
            exponents *= precision
        if of_others:
            np.fill_diagonal(exponents[:, begin:], -np.inf)
        rows = np.sum(np.exp(exponents, out=exponents), axis=-1)
        total += float(np.sum(rows, dtype="float64"))
    return total
