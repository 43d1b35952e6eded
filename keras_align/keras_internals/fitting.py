"""The loop of `fit`."""

import keras
import numpy as np


def build_with_local_batches(model):
    """Lets `fit` build a model for the values of several replicas.

    Keras takes their mean, which booleans have not, and several workers with one
    replica each have none either.
    """

    def maybe_build(iterator=None, data_batch=None):
        strategy = model.distribute_strategy
        for _, _, batches in iterator or ():
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0],
                next(batches),
            )
            break
        with strategy.scope():
            model._symbolic_build(data_batch=data_batch)

    model._maybe_symbolic_build = maybe_build


def execute_step_by_step(model):
    """Lets `fit` and `evaluate` of several replicas take `steps_per_execution`.

    Keras's loop over steps inside a graph fails for the data of several replicas.
    """

    def make(step):
        one_step = model._make_function(step)

        def function(iterator):
            if not hasattr(iterator, "get_next_as_optional"):  # of `train_on_batch`
                return one_step(iterator)
            logs = None
            for _ in range(model.steps_per_execution):
                # At the end of the data a step would do what needs no data.
                batch = iterator.get_next_as_optional()
                if not batch.has_value():
                    break
                logs = one_step([batch.get_value()])
            if logs is None:
                raise StopIteration
            return logs

        return function

    def make_train_function(force=False):
        if force or model.train_function is None:
            model.train_function = make(model.train_step)

    def make_test_function(force=False):
        if force or model.test_function is None:
            model.test_function = make(model.test_step)

    model.make_train_function = make_train_function
    model.make_test_function = make_test_function


def is_first_process(model):
    """Whether this is the first, or the only, of the processes that train a model."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_index() == 0
    strategy = getattr(model, "distribute_strategy", None)
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker" and resolver.task_id == 0
    )


def random_state():
    """The state of random numbers that Keras keeps in no variable, as an array.

    On PyTorch, dropout without a seed of its own draws from it; elsewhere it is empty.
    """
    if keras.backend.backend() != "torch":
        return np.zeros(0, "uint8")
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return np.concatenate([state.numpy() for state in states])


def set_random_state(array):
    """The inverse of `random_state`."""
    if keras.backend.backend() != "torch":
        return
    import torch

    state, size = torch.from_numpy(array), torch.get_rng_state().numel()
    torch.set_rng_state(state[:size])
    if torch.cuda.device_count():
        parts = state[size:].chunk(torch.cuda.device_count())
        torch.cuda.set_rng_state_all(list(parts))
