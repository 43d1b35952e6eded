"""A small model of random weights of every family of keras-hub that has attention.

`FAMILIES` maps a name to a function that returns a backbone and inputs for it, the same
inputs at every call.
"""

import functools
import inspect

from keras_hub_models import (
    decoders,
    diffusion,
    encoder_decoders,
    gemma,
    inputs,
    text_and_images,
    text_encoders,
    vision,
    vision_tasks,
)

_MODULES = (
    text_encoders,
    encoder_decoders,
    decoders,
    gemma,
    vision,
    vision_tasks,
    text_and_images,
    diffusion,
)


def _with_the_same_inputs(build):
    @functools.wraps(build)
    def build_again():
        inputs.start_again()
        return build()

    return build_again


FAMILIES = {
    name: _with_the_same_inputs(value)
    for module in _MODULES
    for name, value in vars(module).items()
    if getattr(value, "__module__", None) == module.__name__
    and not inspect.signature(value).parameters
    and not name.startswith("_")
}
