"""Which devices train together: strategies of TensorFlow, distributions of JAX.

What must be known before a backend starts is put into the environment by
`set_environment`; `start` then returns how to make and compile a model.
"""

import contextlib
import dataclasses
import json
import os

ON_TENSORFLOW = ("one", "mirrored", "multiworker", "tpu")
ON_JAX = ("one", "data_parallel", "model_parallel")


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Devices that train together.

    Args:
        scope: Context manager in which models are made and compiled.
        devices: Integer, how many there are on all hosts.
        processes: Integer, of which each feeds its own part of a batch.
        process: Integer, the number of this one.
        by_library: Bool, whether the model needs `keras_align.training.distribute`.
    """

    scope: object
    devices: int
    processes: int = 1
    process: int = 0
    by_library: bool = False


def set_environment(options):
    """Chooses backend, devices and workers; before Keras is imported."""
    os.environ["KERAS_BACKEND"] = options.backend
    if options.workers and options.backend == "tensorflow":
        cluster = {"worker": options.workers}
        task = {"type": "worker", "index": options.worker}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    if options.devices and options.backend == "jax":
        flag = f"--xla_force_host_platform_device_count={options.devices}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"


def start(options):
    """Returns the `Strategy` that the options name, with its devices."""
    return (on_tensorflow if options.backend == "tensorflow" else on_jax)(options)


def on_tensorflow(options):
    """A strategy of `tf.distribute`."""
    import tensorflow as tf

    if options.strategy == "one":
        return Strategy(contextlib.nullcontext, 1)
    if options.strategy == "multiworker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif options.strategy == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(options.tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    else:
        strategy = mirrored(options.devices)
    return Strategy(strategy.scope, strategy.num_replicas_in_sync, by_library=True)


def mirrored(devices):
    """All GPUs of this machine, or its CPU as several devices."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [f"GPU:{index}" for index in range(devices or len(gpus))]
        return tf.distribute.MirroredStrategy(names)
    devices = devices or 2
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(cpu, parts)
    names = [f"CPU:{index}" for index in range(devices)]
    return tf.distribute.MirroredStrategy(names)


def on_jax(options):
    """A distribution of `keras.distribution`, on JAX."""
    import keras

    if options.workers:
        keras.distribution.initialize(
            ",".join(options.workers), len(options.workers), options.worker
        )
    devices = keras.distribution.list_devices()
    if options.strategy == "data_parallel":
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        )
    elif options.strategy == "model_parallel":
        keras.distribution.set_distribution(split_model(devices, options.split))
    count = 1 if options.strategy == "one" else len(devices)
    processes = max(1, len(options.workers))
    return Strategy(contextlib.nullcontext, count, processes, options.worker)


def split_model(devices, parts):
    """Splits the matrices of a BERT over `parts` devices, and batches over the rest."""
    import keras

    parts = parts or len(devices)
    mesh = keras.distribution.DeviceMesh(
        (len(devices) // parts, parts), ["batch", "model"], devices
    )
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*token_embedding.*embeddings"] = (None, "model")  # of any vocabulary
    layout[".*self_attention.*(query|key|value).*kernel"] = (None, "model", None)
    layout[".*attention_output.*kernel"] = ("model", None, None)
    layout[".*feedforward_intermediate.*kernel"] = (None, "model")
    layout[".*feedforward_output.*kernel"] = ("model", None)
    return keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
    )
