"""Fine-tuning with two variants of the alignments that were tried and not built in.

`<alignment>_projections`: the gradient of the alignment loss reaches the projections of
queries and keys alone, not the layers below. `<alignment>_equal_moments`: the loss is
blind to the place and scale of each coordinate; queries and keys are brought to mean 0
and variance 1, over the batch and without a gradient, before they are compared. Options
and file as those of `fine_tuning.py`:

    python benchmarks/alignment_variants.py --train-size 1024 --epochs 2 --test-size 400
"""

import fine_tuning
import methods
import repeated_runs
from keras import ops

from keras_align import alignments

WEIGHT = 0.1
PROJECTIONS = "projections"
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
    """Registers the variant of an alignment that is blind to place and scale."""
    base = type(alignments.get_alignment(name))

    def call(self, query, key, query_mask=None, key_mask=None):
        query, key = standardize(query, query_mask), standardize(key, key_mask)
        return base.call(self, query, key, query_mask, key_mask)

    variant = type(f"EqualMoments{base.__name__}", (base,), {"call": call})
    alignments.register_alignment(f"{name}_{EQUAL_MOMENTS}")(variant)


def project_constant_inputs(layer):
    """Lets a layer align queries and keys that are projected from constant inputs."""
    projected = {}

    def projecting(dense, name):
        project = dense.call

        def call(inputs, training=None):
            projected[name] = project(ops.stop_gradient(inputs), training=training)
            return project(inputs, training=training)

        dense.call = call

    projecting(layer.query_dense, "query")
    projecting(layer.key_dense, "key")
    add = layer._add_alignment_loss
    layer._add_alignment_loss = lambda query, key, query_mask, key_mask: add(
        projected.pop("query"), projected.pop("key"), query_mask, key_mask
    )


class RunsOfVariants(repeated_runs.RepeatedRuns):
    """Runs whose alignment may see constant inputs, see `project_constant_inputs`."""

    def _prepare(self):
        super()._prepare()
        if self.method.name.endswith(PROJECTIONS):
            for layer in self.aligned:
                project_constant_inputs(layer)


def main():
    methods.METHODS.clear()
    for name in TRIED:
        with_equal_moments(name)
        for suffix in (PROJECTIONS, EQUAL_MOMENTS):
            variant = f"{name}_{suffix}"
            alignment = variant if suffix == EQUAL_MOMENTS else name
            methods.METHODS[variant] = methods.Method(
                variant, alignment, WEIGHT, methods.MATCHED
            )
    fine_tuning.main(runs=RunsOfVariants)


if __name__ == "__main__":
    main()
