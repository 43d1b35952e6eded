"""What hypothesis draws: queries and keys with masks, ordinary and degenerate."""

import dataclasses

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

FLOAT16_MAX = 65504.0


@dataclasses.dataclass(frozen=True)
class Samples:
    """Queries `(B, T, N, H)` and keys `(B, S, N, H)` with masks or `None`."""

    query: np.ndarray
    key: np.ndarray
    query_mask: np.ndarray | None
    key_mask: np.ndarray | None

    @property
    def masks(self):
        return self.query_mask, self.key_mask


@st.composite
def samples(draw, largest=3.0, max_tokens=6):
    """Ordinary samples. Samples without a real token occur."""
    batch, heads, size = (draw(st.integers(1, most)) for most in (3, 2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def tokens(count):
        shift = rng.uniform(-largest / 3, largest / 3, (1, 1, heads, size))
        x = rng.uniform(-largest, largest, (batch, count, heads, size))
        return (x + shift).astype("float32")

    def mask(count):
        return draw(st.none() | hnp.arrays(bool, (batch, count)))

    length, other = (draw(st.integers(1, max_tokens)) for _ in range(2))
    return Samples(tokens(length), tokens(other), mask(length), mask(other))


@st.composite
def degenerate_samples(draw):
    """Zero vectors, equal tokens, one token, the largest float16."""
    values = st.sampled_from([0.0, 1.0, -1.0, 1e-6, FLOAT16_MAX, -FLOAT16_MAX])
    length, other = (draw(st.integers(1, 3)) for _ in range(2))
    query = draw(hnp.arrays("float32", (2, length, 1, 2), elements=values))
    key = draw(hnp.arrays("float32", (2, other, 1, 2), elements=values))
    if draw(st.booleans()):
        key, other = query, length
    query_mask = draw(st.none() | hnp.arrays(bool, (2, length)))
    key_mask = draw(st.none() | hnp.arrays(bool, (2, other)))
    return Samples(query, key, query_mask, key_mask)
