"""A `MatchingMap` put into the weights of one layer, and taken out again."""

import keras
import numpy as np
from keras import ops

from keras_align.adapters.projection_weights import ProjectionWeights
from keras_align.moments import MatchingMap


class Change:
    """Changes the projections of a layer; if that fails, they are as before.

    Args:
        layer: the attention layer.
        query: `ProjectionWeights` of the queries.
        key: `ProjectionWeights` of the keys.
        of_heads: `MatchingMap`.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        query: ProjectionWeights,
        key: ProjectionWeights,
        of_heads: MatchingMap,
    ) -> None:
        self.layer, self.query, self.key = layer, query, key
        self.of_heads = of_heads
        self.variables = [*query.variables, *key.variables]
        self.before = self._values()
        try:
            _transform(query, key, of_heads)
        except BaseException:
            self._assign_before()
            raise
        self.after = self._values()

    def check(self) -> None:
        """Raises ValueError if the weights are no more those that were changed."""
        for each in (self.query, self.key):
            try:
                each.check()
                same = all(any(v is x for x in self.variables) for v in each.variables)
            except ValueError:
                same = False
            if not same:
                raise ValueError(
                    f"Layer '{self.layer.name}' cannot be restored: its projections "
                    "were quantized or given LoRA weights since moments were matched. "
                    "Call `restore` before."
                )

    def undo(self) -> None:
        """Restores the values, or maps back weights that were trained since."""
        if all(map(np.array_equal, self._values(), self.after)):
            self._assign_before()
        else:
            _transform(self.query, self.key, self.of_heads.inverse())

    def _values(self):
        return [np.copy(ops.convert_to_numpy(variable)) for variable in self.variables]

    def _assign_before(self):
        for variable, value in zip(self.variables, self.before, strict=True):
            variable.assign(value)


def _transform(query, key, of_heads):
    kernel, bias = query.read()
    group = kernel.shape[1] // len(of_heads.forward)
    forward = of_heads.repeated(group).forward
    if (forward != np.eye(forward.shape[-1])).any():  # else means alone are matched
        if bias is not None:
            bias = np.einsum("nh,nhi->ni", bias, forward)
        query.write(np.einsum("dnh,nhi->dni", kernel, forward), bias)
    kernel, bias = key.read()
    if bias is not None:
        bias = of_heads.of_keys(bias)
    key.write(np.einsum("dkh,khi->dki", kernel, of_heads.backward), bias)
