"""The one place that uses private names of Keras; `ledger` lists them."""

from keras_align.keras_internals.attention import COMPUTE_ATTENTION, PROJECTIONS
from keras_align.keras_internals.calls import (
    after_compute_loss,
    called_root,
    full_precision,
    has_losses_of_step,
    has_values,
    in_stateless_step,
    is_compile_metrics,
    is_traced,
    notes_of_step,
    token_mask,
    training_of_call,
)
from keras_align.keras_internals.compiling import (
    compile_arguments,
    fresh_optimizer,
    variable_scope,
)
from keras_align.keras_internals.distributing import (
    apply_across_replicas,
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
    DataOfFit,
    batches_and_accumulation,
    begin_at_epoch,
    gather_from_workers,
    global_seed,
)
from keras_align.keras_internals.unsaved_state import UnsavedState

__all__ = [
    "COMPUTE_ATTENTION",
    "PROJECTIONS",
    "DataOfFit",
    "UnsavedState",
    "after_compute_loss",
    "apply_across_replicas",
    "batches_and_accumulation",
    "begin_at_epoch",
    "build_with_local_batches",
    "called_root",
    "compile_arguments",
    "execute_step_by_step",
    "flattened",
    "fresh_optimizer",
    "full_precision",
    "gather_from_workers",
    "global_seed",
    "has_build",
    "has_losses_of_step",
    "has_values",
    "in_stateless_step",
    "is_compile_metrics",
    "is_first_process",
    "is_multi_worker",
    "is_traced",
    "last_activation",
    "name_scope",
    "notes_of_step",
    "random_state",
    "remove_attributes",
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
