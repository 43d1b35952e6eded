"""The one place that uses private names of Keras (3.15)."""

from keras_align.keras_internals.calls import (
    called_root,
    full_precision,
    losses_of_stateless_step,
    runs_tensorflow_eagerly,
    token_mask,
    training_of_call,
)
from keras_align.keras_internals.compiling import (
    compile_arguments,
    fresh_optimizer,
    variable_scope,
)
from keras_align.keras_internals.distributing import (
    added_losses,
    apply_across_replicas,
    compute_loss,
    is_multi_worker,
    track_loss,
)
from keras_align.keras_internals.fitting import (
    build_with_local_batches,
    execute_step_by_step,
    is_first_process,
    random_state,
    set_random_state,
)
from keras_align.keras_internals.layers import (
    flattened,
    has_build,
    last_activation,
    name_scope,
    remove_attributes,
    sublayers,
    track_first,
    track_parameters,
    unlocked,
    when_built,
    without_variables,
)
from keras_align.keras_internals.resuming import (
    batches_and_accumulation,
    begin_at_epoch,
    gather_from_workers,
    global_seed,
)

__all__ = [
    "added_losses",
    "apply_across_replicas",
    "batches_and_accumulation",
    "begin_at_epoch",
    "build_with_local_batches",
    "called_root",
    "compile_arguments",
    "compute_loss",
    "execute_step_by_step",
    "flattened",
    "fresh_optimizer",
    "full_precision",
    "gather_from_workers",
    "global_seed",
    "has_build",
    "is_first_process",
    "is_multi_worker",
    "last_activation",
    "losses_of_stateless_step",
    "name_scope",
    "random_state",
    "remove_attributes",
    "runs_tensorflow_eagerly",
    "set_random_state",
    "sublayers",
    "token_mask",
    "track_first",
    "track_loss",
    "track_parameters",
    "training_of_call",
    "unlocked",
    "variable_scope",
    "when_built",
    "without_variables",
]
