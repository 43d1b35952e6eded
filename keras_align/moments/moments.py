"""Mean and covariance of the vectors of each head, gathered batch by batch."""

import numpy as np


class Moments:
    """Moments over the real tokens of all batches, in float64.

    Args:
        num_heads: int, K, the heads whose moments are told apart.

    Attributes:
        count: int, number of vectors of one head.
    """

    def __init__(self, num_heads: int) -> None:
        self.num_heads, self.count = num_heads, 0
        self._origin = self._sum = self._products = np.zeros(())

    def add(self, vectors: np.ndarray, mask: np.ndarray) -> None:
        """Adds the real tokens of a batch.

        Args:
            vectors: float array `(B, T, N, H)`; N is a multiple of `num_heads`, and
                the N / K heads of a group are pooled.
            mask: boolean array `(B, T)`, True for a real token.
        """
        x = np.asarray(vectors, "float64")[np.asarray(mask, bool)]  # (tokens, N, H)
        tokens, _, size = x.shape
        if not tokens:
            return
        x = x.reshape(tokens, self.num_heads, -1, size)
        x = x.transpose(1, 0, 2, 3).reshape(self.num_heads, -1, size)  # (K, tokens, H)
        if not self.count:
            # Sums of distances to a point nearby lose nothing when subtracted.
            self._origin = x.mean(axis=1, keepdims=True)
            self._sum = np.zeros((self.num_heads, size))
            self._products = np.zeros((self.num_heads, size, size))
        x = x - self._origin
        self.count += x.shape[1]
        self._sum = self._sum + x.sum(axis=1)
        self._products = self._products + np.einsum("kti,ktj->kij", x, x)

    @property
    def mean(self) -> np.ndarray:
        """`(K, H)`."""
        return self._origin[:, 0] + self._sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        """`(K, H, H)`, of the population: divided by the number of vectors."""
        offset = self._sum / self.count
        products = self._products / self.count
        return products - offset[:, :, None] * offset[:, None, :]

    @property
    def second(self) -> np.ndarray:
        """`(K, H, H)`, mean of the outer products: the covariance about zero."""
        mean = self.mean
        return self.covariance + mean[:, :, None] * mean[:, None, :]
