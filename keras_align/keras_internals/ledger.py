"""The private names of Keras that this package uses, and why.

Each was found in all releases of Keras from its `since` to 3.15.1 and in the nightly
build of 3.16. A test looks for each in the Keras that is installed, and for others in
the files of the package.
"""

from typing import NamedTuple

MASKING = "keras.src.backend.common.masking"
STATE = "keras.src.backend.common.global_state"
SCOPES = "keras.src.backend.common.stateless_scope"
VARIABLES = "keras.src.backend.common.variables"
SEEDS = "keras.src.random.seed_generator"
COMPILING = "keras.src.trainers.compile_utils"
LAYER = "keras.Layer"
MODEL = "keras.Model"
OPTIMIZER = "keras.optimizers.Optimizer"
ATTENTION = "keras.layers.MultiHeadAttention"
GROUPED = "keras.layers.GroupQueryAttention"


class PrivateName(NamedTuple):
    """A name that Keras may change without notice.

    Args:
        owner: str, the module, or the class whose instances have it.
        name: str, with the private attribute first and what is used of it behind.
        use: str, what it is used for.
        backend: str, the only backend of Keras with it, or `None` for all.
        since: str, the oldest release in which it was looked for and found.
    """

    owner: str
    name: str
    use: str
    backend: str | None = None
    since: str = "3.12"


LEDGER = (
    PrivateName(MASKING, "get_keras_mask", "the mask that a layer left on a tensor"),
    PrivateName(MASKING, "set_keras_mask", "the mask of a tensor left on a copy of it"),
    PrivateName(STATE, "get_global_attribute", "the call that is going on"),
    PrivateName(STATE, "set_global_attribute", "unseeded draws that are undone"),
    PrivateName(SCOPES, "get_stateless_scope", "losses of a stateless step of JAX"),
    PrivateName(SCOPES, "in_stateless_scope", "whether there is such a step"),
    PrivateName(VARIABLES, "AutocastScope", "variables read in their own precision"),
    PrivateName(SEEDS, "global_seed_generator", "the state of unseeded dropout"),
    PrivateName(COMPILING, "CompileMetrics", "which metrics are those of `compile`"),
    PrivateName("keras.Layer.get_config", "_is_default", "configs that Keras makes"),
    PrivateName(MODEL, "_jax_state", "whether a stateless `fit` goes on", "jax"),
    PrivateName(LAYER, "_layers", "sublayers in the order of their variables"),
    PrivateName(LAYER, "_flatten_layers", "sublayers at any depth"),
    PrivateName(LAYER, "_trainable_variables", "variables that files do not hold"),
    PrivateName(LAYER, "_non_trainable_variables", "variables that files do not hold"),
    PrivateName(LAYER, "_tracker.locked", "sublayers given to a built layer"),
    PrivateName(LAYER, "_tracker.lock", "sublayers given to a built layer"),
    PrivateName(LAYER, "_tracker.unlock", "sublayers given to a built layer"),
    PrivateName(LAYER, "_tracker.untrack", "sublayers taken from a built layer"),
    PrivateName(LAYER, "_untrack_variable", "variables taken from a built layer"),
    PrivateName(LAYER, "_open_name_scope", "paths of variables that are added later"),
    PrivateName(LAYER, "_clear_losses", "losses of a layer that is called many times"),
    PrivateName(LAYER, "_get_own_losses", "whether a loss was read"),
    PrivateName(LAYER, "_post_build", "weights of the alignment, after the layer's"),
    PrivateName(LAYER, "_loss_ids", "losses of a layer that is called many times"),
    PrivateName(LAYER, "_losses", "losses of a call that is repeated"),
    PrivateName(LAYER, "_seed_generators", "random states of a call that is repeated"),
    PrivateName(LAYER, "_torch_params", "parameters of PyTorch", "torch"),
    PrivateName("torch.Tensor", "_version", "which variables were written", "torch"),
    PrivateName(LAYER, "_track_variables", "parameters of PyTorch", "torch"),
    PrivateName("keras.KerasTensor", "_keras_history.operation", "the last layer"),
    PrivateName(MODEL, "_compile_config.config", "arguments of `compile`, as given"),
    PrivateName(MODEL, "_resolve_auto_jit_compile", 'what `jit_compile="auto"` means'),
    PrivateName(MODEL, "_loss_tracker", "the `loss` in the logs"),
    PrivateName(MODEL, "_initial_epoch", "the epoch that `fit` begins with"),
    PrivateName(MODEL, "_symbolic_build", "to build a model before its first step"),
    PrivateName(MODEL, "_maybe_symbolic_build", "the same with replicas", "tensorflow"),
    PrivateName(OPTIMIZER, "_exclude_from_weight_decay", "an equal optimizer"),
    PrivateName(OPTIMIZER, "_exclude_from_weight_decay_pattern", "an equal optimizer"),
    PrivateName(OPTIMIZER, "_iterations", "batches, where steps take several"),
    PrivateName(OPTIMIZER, "_get_variable_index", "accumulation over replicas"),
    PrivateName(OPTIMIZER, "_accumulated_gradients", "accumulation over replicas"),
    PrivateName(
        OPTIMIZER,
        "_backend_increment_gradient_accumulators",
        "accumulation over replicas",
    ),
    PrivateName(
        OPTIMIZER, "_backend_reset_gradient_accumulators", "accumulation over replicas"
    ),
    PrivateName(OPTIMIZER, "_trainable_variables", "moving averages over replicas"),
    PrivateName(
        OPTIMIZER,
        "_update_model_variables_moving_average",
        "moving averages over replicas",
    ),
    PrivateName(OPTIMIZER, "_backend_apply_gradients", "the step of all replicas"),
    PrivateName(OPTIMIZER, "_clip_gradients", "the step of all replicas"),
    PrivateName(OPTIMIZER, "_apply_weight_decay", "the step of all replicas"),
    PrivateName(OPTIMIZER, "_backend_update_step", "the step of all replicas"),
    PrivateName(
        OPTIMIZER, "_all_reduce_sum_gradients", "sums of replicas", "tensorflow"
    ),
    PrivateName(
        "tensorflow.distribute.StrategyExtended",
        "_in_multi_worker_mode",
        "how Keras joins the logs of workers",
        "tensorflow",
    ),
    PrivateName(ATTENTION, "_compute_attention", "projected queries and keys"),
    PrivateName(GROUPED, "_compute_attention", "projected queries and keys"),
    PrivateName(GROUPED, "_query_dense", "the projection of queries"),
    PrivateName(GROUPED, "_key_dense", "the projection of keys"),
)
