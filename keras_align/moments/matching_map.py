"""The exact symmetries of softmax attention, and which of them equalise the moments.

The attention weights of a head do not change when one vector c is added to all keys, as
each row of scores then shifts by a constant that the softmax ignores; nor when
`q -> q A` and `k -> k A^-T` with an invertible A, as `q A (k A^-T)^T = q k^T`.
"""

from dataclasses import dataclass

import numpy as np

from keras_align.moments.moments import Moments

KINDS = "full", "rotary", "scale", "none"


@dataclass(frozen=True)
class MatchingMap:
    """`q -> q A`, `k -> k A^-1 + c` for every head; A is symmetric.

    Attributes:
        forward: A, float64 `(K, H, H)`.
        backward: the inverse of A, float64 `(K, H, H)`.
        shift: c, float64 `(K, H)`.
    """

    forward: np.ndarray
    backward: np.ndarray
    shift: np.ndarray

    def inverse(self) -> "MatchingMap":
        """The map that undoes this one."""
        shift = -np.einsum("kh,khi->ki", self.shift, self.forward)
        return MatchingMap(self.backward, self.forward, shift)

    def repeated(self, group: int) -> "MatchingMap":
        """The map of each query head, of which `group` share a key head."""
        arrays = self.forward, self.backward, self.shift
        return MatchingMap(*(np.repeat(array, group, axis=0) for array in arrays))

    def of_queries(self, query: np.ndarray) -> np.ndarray:
        """Maps float array `(..., K, H)`."""
        return np.einsum("...kh,khi->...ki", query, self.forward)

    def of_keys(self, key: np.ndarray) -> np.ndarray:
        """Maps float array `(..., K, H)`."""
        return np.einsum("...kh,khi->...ki", key, self.backward) + self.shift


def matching_map(
    query: Moments,
    key: Moments,
    kind: str = "full",
    moments: str = "covariance",
    shifts: bool = True,
    ridge: float = 1e-4,
) -> MatchingMap:
    """The map that makes the moments of queries and keys of each head equal.

    Args:
        query: `Moments` of the queries.
        key: `Moments` of the keys.
        kind: string, the symmetries of the attention: `"full"`; `"rotary"`, one scale
            for the pair of features `i` and `i + H / 2`, which turn together, and no
            shift; `"scale"`, one scale for a head and no shift.
        moments: `"mean"` or `"covariance"`, which also matches means.
        shifts: bool, whether keys can be shifted. If not, second moments about zero
            take the place of covariances.
        ridge: float >= 0, see `equal_covariances`.

    Returns:
        A `MatchingMap`.
    """
    size = query.mean.shape[-1]
    forward = np.broadcast_to(np.eye(size), query.covariance.shape)
    backward = forward
    if moments == "covariance" and kind == "full":
        # A mean that cannot be moved belongs to what is made equal.
        of_query, of_key = (x.covariance if shifts else x.second for x in (query, key))
        forward, backward = equal_covariances(of_query, of_key, ridge)
    elif moments == "covariance" and kind in ("rotary", "scale"):
        scale = _equal_scales(query, key, 2 if kind == "rotary" else size)
        forward, backward = scale[..., None] * forward, forward / scale[..., None]
    shift = np.zeros_like(query.mean)
    if shifts and kind == "full":
        of_queries = np.einsum("kh,khi->ki", query.mean, forward)
        shift = of_queries - np.einsum("kh,khi->ki", key.mean, backward)
    return MatchingMap(forward, backward, shift)


def equal_covariances(
    query: np.ndarray, key: np.ndarray, ridge: float = 1e-4
) -> tuple[np.ndarray, np.ndarray]:
    """The symmetric A with `A Sq A = A^-1 Sk A^-1`.

    `A = M^(1/2)`, `M = Sq^(-1/2) (Sq^(1/2) Sk Sq^(1/2))^(1/2) Sq^(-1/2)`, the geometric
    mean of `Sk` and the inverse of `Sq`, which solves `M Sq M = Sk`.

    Args:
        query: float64 `(K, H, H)`, covariances Sq.
        key: float64 `(K, H, H)`, covariances Sk.
        ridge: float >= 0. To each covariance this share of its mean variance is added
            on the diagonal, so that A exists and stays moderate where a head does not
            use all of its features. A head of constant queries or keys keeps A = I.

    Returns:
        Pair of A and its inverse, `(K, H, H)`.
    """
    query, key = _ridged(query, key, ridge)
    root, inverse = _power(query, 0.5), _power(query, -0.5)
    mean = inverse @ _power(root @ key @ root, 0.5) @ inverse
    return _power(mean, 0.5), _power(mean, -0.5)


def _ridged(query, key, ridge):
    """Both covariances with the ridge, both the identity where one of them is zero."""
    size = query.shape[-1]
    variances = [np.trace(x, axis1=1, axis2=2)[:, None, None] for x in (query, key)]
    used = (variances[0] > 1e-30) & (variances[1] > 1e-30)
    ridges = (ridge * variance / size * np.eye(size) for variance in variances)
    pairs = zip((query, key), ridges, strict=True)
    return [np.where(used, x + each, np.eye(size)) for x, each in pairs]


def _power(matrix, exponent):
    """Power of symmetric positive matrices `(K, H, H)`."""
    values, vectors = np.linalg.eigh((matrix + matrix.swapaxes(1, 2)) / 2)
    smallest = 1e-14 * values[:, -1:]
    values = np.maximum(values, np.maximum(smallest, 1e-300)) ** exponent
    return (vectors * values[:, None]) @ vectors.swapaxes(1, 2)


def _equal_scales(query, key, group):
    """`(K, H)`: a with `a^2 E[q^2] = E[k^2] / a^2` over each group of features."""
    squares = []
    for each in (query, key):
        square = np.einsum("khh->kh", each.second)
        grouped = square.reshape(len(square), group, -1)  # i and i + H / 2 in a column
        squares.append(grouped.mean(axis=1, keepdims=True) + np.zeros_like(grouped))
    of_queries, of_keys = (x.reshape(len(x), -1) for x in squares)
    used = (of_queries > 1e-30) & (of_keys > 1e-30)
    return np.where(used, of_keys / np.where(used, of_queries, 1.0), 1.0) ** 0.25
