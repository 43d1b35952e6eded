"""What Keras takes for the arguments of its attention layers."""

from typing import Any

import keras

Initializer = str | dict[str, Any] | keras.initializers.Initializer
Regularizer = str | dict[str, Any] | keras.regularizers.Regularizer | None
Constraint = str | dict[str, Any] | keras.constraints.Constraint | None
