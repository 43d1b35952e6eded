"""A way to train a network, as methods are compared."""

import dataclasses
import math

from keras_align.alignments import get_alignment


@dataclasses.dataclass(frozen=True)
class Method:
    """Soft attention, or an alignment with a weight.

    Args:
        title: String.
        alignment: Argument of `keras_align.align_model`, or `None` for soft attention.
        weight: Float, the weight of the alignment, or `None` for soft attention.
        options: String, the settings of the alignment.
    """

    title: str
    alignment: object = None
    weight: float | None = None
    options: str = ""

    def weighted(self, weight):
        """Returns the method with another weight, if both have one."""
        if weight is None or self.alignment is None:
            return self
        return dataclasses.replace(self, weight=weight)


def described(alignment):
    """Returns the settings of an alignment as a text."""
    config = get_alignment(alignment).get_config()
    names = sorted(config.keys() - {"name", "trainable", "dtype"})
    return " ".join(f"{name}={config[name]}" for name in names)


def read(parser, options, methods):
    """Makes the option `methods` a list, and refuses wrong ones and wrong weights.

    Args:
        parser: `argparse.ArgumentParser`, which ends the program with an error.
        options: Its options, with `methods` and `weight`.
        methods: Dictionary from names to methods.
    """
    options.methods = [name.strip() for name in options.methods.split(",")]
    unknown = set(options.methods) - set(methods)
    if unknown or len(set(options.methods)) < len(options.methods):
        parser.error(
            f"--methods: expected different ones of {','.join(methods)}, not "
            f"{','.join(options.methods)}"
        )
    if options.weight is not None and not 0 <= options.weight < math.inf:
        parser.error(f"--weight must be a number >= 0, not {options.weight}")
