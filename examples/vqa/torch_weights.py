"""Reads weights that PyTorch saved before its version 1.6, without PyTorch.

Such a file is a sequence of pickles, and a pickle can name any function to be called.
Here it may name an ordered dictionary, the types of storages, and the function that
makes a tensor of a storage; anything else is an error and is not called.
"""

import collections
import pickle

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
DTYPES = {
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "HalfStorage"): np.dtype("<f2"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


def read_weights(file):
    """Returns a dictionary from names to arrays.

    Args:
        file: `pathlib.Path`.

    Raises:
        ValueError: If it is no such file, or names what it may not.
    """
    with open(file, "rb") as stream:
        try:
            magic, protocol, _ = (_Unpickler(stream).load() for _ in range(3))
            if (magic, protocol) != (MAGIC_NUMBER, PROTOCOL_VERSION):
                raise ValueError(f"{file}: no weights of PyTorch before 1.6")
            unpickler = _Unpickler(stream)
            tensors = unpickler.load()
            _fill(unpickler.storages, _Unpickler(stream).load(), stream)
        except (pickle.UnpicklingError, EOFError, TypeError) as error:
            raise ValueError(f"{file}: cannot be read: {error}") from error
    return {name: tensor.array() for name, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """Calls nothing but what makes dictionaries and `_Tensor`s."""

    def __init__(self, stream):
        super().__init__(stream, encoding="utf-8")
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if f"{module}.{name}" == "torch._utils._rebuild_tensor_v2":
            return _Tensor
        if (module, name) in DTYPES:
            return DTYPES[module, name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid):
        kind, dtype, key, _, size, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it holds a {kind}")
        return self.storages.setdefault(key, np.zeros(size, dtype))


class _Tensor:
    """A view of a storage, which is filled later."""

    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset = storage, offset
        self.size, self.stride = size, stride

    def array(self):
        """Returns a copy as an array of its own."""
        last = self.offset + sum(
            (n - 1) * step for n, step in zip(self.size, self.stride, strict=True)
        )
        if min((*self.size, 1)) < 1 or min((*self.stride, 0)) < 0:
            raise ValueError(f"a tensor of size {self.size}, strides {self.stride}")
        if not 0 <= self.offset <= last < len(self.storage):
            raise ValueError(f"a tensor beyond its storage of {len(self.storage)}")
        of_bytes = [step * self.storage.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(
            self.storage[self.offset :], self.size, of_bytes
        )
        return view.copy()


def _fill(storages, keys, stream):
    """Reads the numbers of all storages, which stand in the order of their keys."""
    for key in keys:
        storage = storages[key]
        size = int.from_bytes(stream.read(8), "little")
        data = stream.read(size * storage.itemsize)
        if size != len(storage) or len(data) != storage.nbytes:
            raise EOFError(f"storage {key} has other than {len(storage)} numbers")
        storage[:] = np.frombuffer(data, storage.dtype)
