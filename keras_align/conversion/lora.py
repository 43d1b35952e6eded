"""LoRA of keras-hub on a backbone with aligned attention.

`enable_lora` of keras-hub freezes all layers of a backbone, and its LoRA files know a
layer by its position among them. Alignments are left out of both: they go on being
trained, and positions are those of the plain backbone. So LoRA files fit plain and
aligned backbones alike, whatever is aligned or stripped before or after.
"""

import contextlib
import os
import pathlib
import tempfile

from keras_align.conversion.finding import find_attention
from keras_align.conversion.supported import plain_class
from keras_align.conversion.swapping import hidden_alignment


def _enable_lora(self, *args, **kwargs):
    """`enable_lora` of keras-hub, which does not freeze the alignments."""
    with _hidden_alignments(self):
        plain_class(type(self)).enable_lora(self, *args, **kwargs)


def _save_lora_weights(self, filepath):
    """`save_lora_weights` of keras-hub; a failure leaves an existing file whole."""
    with _hidden_alignments(self), _replacing(filepath) as new:
        plain_class(type(self)).save_lora_weights(self, new)


def _load_lora_weights(self, filepath):
    """`load_lora_weights` of keras-hub, of a plain or an aligned backbone."""
    with _hidden_alignments(self):
        plain_class(type(self)).load_lora_weights(self, filepath)


METHODS = {
    "enable_lora": _enable_lora,
    "save_lora_weights": _save_lora_weights,
    "load_lora_weights": _load_lora_weights,
}


@contextlib.contextmanager
def _hidden_alignments(backbone):
    """Lets a backbone list its layers as if it were plain."""
    with contextlib.ExitStack() as hidden:
        for each in find_attention(backbone)[0]:
            hidden.enter_context(hidden_alignment(each.layer))
        yield


@contextlib.contextmanager
def _replacing(path):
    """Yields where to write a new file, which then takes the place of `path`."""
    target = pathlib.Path(os.path.realpath(path))
    folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=".incomplete-")
    with folder as name:
        new = pathlib.Path(name, pathlib.Path(path).name)
        yield new
        os.replace(new, target)
