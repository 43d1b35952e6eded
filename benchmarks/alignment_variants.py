"""Fine-tuning with a variant of the alignments that was tried and not built in.

`<alignment>_equal_moments`: the loss is blind to the place and scale of each
coordinate; queries and keys are brought to mean 0 and variance 1, over the batch and
without a gradient, before they are compared. Options and file as those of
`fine_tuning.py`:

    python benchmarks/alignment_variants.py --train-size 1024 --epochs 2 --test-size 400
"""

import fine_tuning
import methods
from keras import ops

from keras_align import alignments

WEIGHT = 0.1
EQUAL_MOMENTS = "equal_moments"
TRIED = ("ct", "mmd")


def standardize(x, mask):
    """Returns `(B, T, N, H)` of mean 0 and variance 1 over real tokens and batch."""
    weights = ops.ones(ops.shape(x)[:2]) if mask is None else ops.cast(mask, "float32")
    weights = (weights / ops.sum(weights))[:, :, None, None]
    mean = ops.sum(weights * x, (0, 1), keepdims=True)
    variance = ops.sum(weights * ops.square(x - mean), (0, 1), keepdims=True)
    scale = ops.rsqrt(variance + 1e-6)
    return (x - ops.stop_gradient(mean)) * ops.stop_gradient(scale)


def with_equal_moments(name):
    """Registers a variant of an alignment that is blind to place and scale."""
    base = type(alignments.get_alignment(name))

    def call(self, query, key, query_mask=None, key_mask=None):
        query, key = standardize(query, query_mask), standardize(key, key_mask)
        return base.call(self, query, key, query_mask, key_mask)

    variant = type(f"EqualMoments{base.__name__}", (base,), {"call": call})
    return alignments.register_alignment(f"{name}_{EQUAL_MOMENTS}")(variant)


def main():
    methods.METHODS.clear()
    for name in TRIED:
        alignment = with_equal_moments(name)(projections_only=False)
        variant = f"{name}_{EQUAL_MOMENTS}"
        method = methods.Method(variant, alignment, WEIGHT, methods.MATCHED)
        methods.METHODS[variant] = method
    fine_tuning.main()


if __name__ == "__main__":
    main()
