"""The loop of `fit`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def build_with_local_batches(model: keras.Model) -> None:
    """Lets `fit` build a model for the values of several replicas.

    Keras takes their mean, which booleans do not have, nor several workers with one
    replica each.
    """

    def maybe_build(iterator: Any = None, data_batch: Any = None) -> None:
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


def execute_step_by_step(model: keras.Model) -> None:
    """Lets `fit` and `evaluate` of several replicas take `steps_per_execution`.

    Keras's loop over steps inside a graph fails for the data of several replicas.
    """
    make_train, make_test = model.make_train_function, model.make_test_function

    def make_train_function(force: bool = False) -> None:
        if force or model.train_function is None:
            make_train(force=True)
            model.train_function = _one_by_one(model, model.train_function)

    def make_test_function(force: bool = False) -> None:
        if force or model.test_function is None:
            make_test(force=True)
            model.test_function = _one_by_one(model, model.test_function)

    model.make_train_function = make_train_function
    model.make_test_function = make_test_function


def _one_by_one(model: keras.Model, step: Callable[..., Any]) -> Callable[..., Any]:
    """Calls Keras's function of `fit` or `evaluate` with one batch at a time."""

    def function(iterator: Any) -> Any:
        if not hasattr(iterator, "get_next_as_optional"):  # of `train_on_batch`
            return step(iterator)
        logs = None
        for _ in range(model.steps_per_execution):
            # At the end of the data a step would do what needs no data.
            batch = iterator.get_next_as_optional()
            if not batch.has_value():
                break
            logs = step([batch.get_value()])
        if logs is None:
            raise StopIteration
        return logs

    return function


def is_first_process(model: keras.Model) -> bool:
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


def random_state() -> np.ndarray:
    """The state of random numbers that Keras keeps in no variable, as an array.

    On PyTorch, dropout without a seed of its own draws from it; elsewhere it is empty.
    """
    if keras.backend.backend() != "torch":
        return np.zeros(0, "uint8")
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return np.concatenate([state.numpy() for state in states])


def set_random_state(array: np.ndarray) -> None:
    """The inverse of `random_state`."""
    if keras.backend.backend() != "torch":
        return
    import torch

    state, size = torch.from_numpy(array), torch.get_rng_state().numel()
    torch.set_rng_state(state[:size])
    if torch.cuda.device_count():
        states = state[size:].chunk(torch.cuda.device_count())
        torch.cuda.set_rng_state_all(list(states))
