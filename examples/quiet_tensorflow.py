"""Loads TensorFlow without what it logs meanwhile.

Two of its libraries write to the file descriptor of stderr as they are loaded, before
TensorFlow reads TF_CPP_MIN_LOG_LEVEL; its Python code warns when it loads a SavedModel
and when it traces a function for inputs of another size. If that level is 0, all of it
is shown.
"""

import importlib.util
import logging
import os
import sys


def load() -> None:
    """Imports TensorFlow if it is installed; call it before Keras does."""
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level == "0" or "tensorflow" in sys.modules:
        return
    if importlib.util.find_spec("tensorflow") is None:
        return
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
