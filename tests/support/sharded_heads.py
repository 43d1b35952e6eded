"""Counts what devices gather when the heads of an alignment are sharded (JAX).

Usage: python sharded_heads.py ALIGNMENT

Prints the all-gather operations in the compiled gradient, of the weights and of queries
and keys `(B, T, N, H)` whose samples and heads are spread over four devices.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import keras

from keras_align.alignments import get_alignment

SHAPE = (4, 8, 4, 16)
devices = keras.distribution.list_devices()
mesh = keras.distribution.DeviceMesh((2, 2), ("data", "model"), devices)
layout = keras.distribution.LayoutMap(mesh)
keras.distribution.set_distribution(
    keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="data")
)
alignment = get_alignment(sys.argv[1])
alignment.build(SHAPE, SHAPE)
axes = jax.sharding.PartitionSpec("data", None, "model")
sharding = jax.sharding.NamedSharding(mesh.backend_mesh, axes)
tokens = jax.ShapeDtypeStruct(SHAPE, "float32", sharding=sharding)
weights = [weight.value for weight in alignment.trainable_variables]


def loss(weights, query, key):
    return alignment.stateless_call(weights, [], query, key)[0].sum()


gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
print(gradient.lower(weights, tokens, tokens).compile().as_text().count("all-gather("))
