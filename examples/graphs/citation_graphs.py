"""Citation graphs and a graph of actors, each with its standard split."""

import dataclasses
import json
import pathlib
import pickle
import warnings

import fetching
import keras
import numpy as np
from scipy import sparse

DATASETS = ("cora", "citeseer", "pubmed", "actor")
CORA_SPLIT = pathlib.Path(__file__).with_name("cora_split.json")
SPARSE = 0.05  # the share of values that are not 0 below which features are sparse
LABELS_A_CLASS, VALIDATION, TEST = 20, 500, 1000


@dataclasses.dataclass(frozen=True)
class Graph:
    """Nodes, the edges between them, and what is known of them.

    Args:
        name: String.
        features: Float array or, if few of its values are not 0, sparse matrix of SciPy
            `(n, F)`; rows of sum 1.
        edges: Integer array `(m, 2)`, every link in both directions, no self-loops.
        labels: Integer array `(n,)`, -1 for a node without a label.
        split: Dictionary from "train", "validation" and "test" to integer arrays, the
            nodes of each part.
    """

    name: str
    features: np.ndarray | sparse.csr_matrix
    edges: np.ndarray
    labels: np.ndarray
    split: dict

    @property
    def num_classes(self):
        return int(self.labels.max()) + 1

    @property
    def is_sparse(self):
        return sparse.issparse(self.features)

    def inputs(self):
        """Returns the inputs of a network, a dictionary of arrays."""
        return {"features": self.features, "edges": self.edges}

    def changed(self, **changes):
        """Returns a graph that differs in some attributes."""
        return dataclasses.replace(self, **changes)

    def weights(self, part):
        """Returns a float array `(n,)`, 1 for the nodes of a part."""
        weights = np.zeros(len(self.labels), "float32")
        weights[self.split[part]] = 1.0
        return weights

    def random_split(self, seed, labels_a_class=LABELS_A_CLASS):
        """Returns the graph with another split, of the sizes of the standard one.

        Raises:
            ValueError: if there are not enough nodes.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(np.flatnonzero(self.labels >= 0))
        of_class = [order[self.labels[order] == c] for c in range(self.num_classes)]
        fewest = min(map(len, of_class))
        others = len(order) - self.num_classes * labels_a_class
        if labels_a_class > fewest or others < VALIDATION + TEST:
            raise ValueError(
                f"{labels_a_class} labels a class are too many for {self.name}, whose "
                f"smallest class has {fewest} nodes: {VALIDATION} nodes for validation "
                f"and {TEST} for the test must be left, not {others}"
            )
        train = np.concatenate([each[:labels_a_class] for each in of_class])
        rest = order[~np.isin(order, train)]
        split = {
            "train": train,
            "validation": rest[:VALIDATION],
            "test": rest[VALIDATION : VALIDATION + TEST],
        }
        return self.changed(split=split)


def load(name, data_dir=None, fold=0):
    """Loads a graph; fetches it if there is no `data_dir`.

    Args:
        name: String, one of `DATASETS`.
        data_dir: Path of a folder with `planetoid/NAME.npz` or `geom_gcn/film.npz`.
        fold: Integer, which of the ten splits of Actor.
    """
    if data_dir is not None:
        folder = pathlib.Path(data_dir)
        if name == "actor":
            return _read_npz(name, folder / "geom_gcn" / "film.npz", f"_{fold}")
        return _read_npz(name, folder / "planetoid" / f"{name}.npz")
    if name == "actor":
        raise fetching.FetchError(
            "Actor is fetched from nowhere: pass `--data-dir` with a folder that has "
            "geom_gcn/film.npz in it"
        )
    folder = fetching.citation_graphs() / name
    return _read_cora(folder) if name == "cora" else _read_planetoid(name, folder)


def _graph(name, features, links, labels, split):
    """A `Graph` of a sparse matrix and pairs of nodes in any order."""
    total = np.asarray(features.sum(axis=1))
    features = features.multiply(1.0 / np.where(total == 0.0, 1.0, total))
    links = np.asarray(links)
    links = np.unique(np.sort(links[links[:, 0] != links[:, 1]], axis=1), axis=0)
    edges = np.concatenate([links, links[:, ::-1]]).astype("int32")
    features = features.tocsr().astype("float32")
    dense = features.nnz > SPARSE * np.prod(features.shape)
    if dense or keras.backend.backend() == "torch":  # which Keras has no sparse for
        features = features.toarray()
    return Graph(name, features, edges, np.asarray(labels, "int64"), split)


def _read_npz(name, file, fold=""):
    data = np.load(file)
    parts = (data["feat_data"], data["feat_indices"], data["feat_indptr"])
    features = sparse.csr_matrix(parts, shape=data["feat_shape"])
    keys = {"train": "train", "validation": "val", "test": "test"}
    split = {part: data[f"idx_{key}{fold}"] for part, key in keys.items()}
    return _graph(name, features, data["edges"], data["labels"], split)


def _read_cora(folder):
    """Cora as its authors published it, with the split of Planetoid."""
    rows = [line.split() for line in (folder / "cora.content").open()]
    number = {row[0]: place for place, row in enumerate(rows)}
    pairs = (line.split() for line in (folder / "cora.cites").open())
    links = [[number[cited], number[citing]] for cited, citing in pairs]
    features = sparse.csr_matrix([[float(x) for x in row[1:-1]] for row in rows])
    classes = sorted({row[-1] for row in rows})
    labels = [classes.index(row[-1]) for row in rows]
    split = json.loads(CORA_SPLIT.read_text())
    split = {part: np.array(nodes) for part, nodes in split.items()}
    return _graph("cora", features, links, labels, split)


def _read_planetoid(name, folder):
    """Citeseer or Pubmed, from the pickles of Yang et al. 2016.

    They are those whose digest was compared when the archive was fetched.
    """

    def read(part):
        with (folder / f"ind.{name}.{part}").open("rb") as file:
            return pickle.load(file, encoding="latin1")

    with warnings.catch_warnings():  # of names that SciPy has moved
        warnings.simplefilter("ignore")
        known, labels, links = read("allx"), read("ally"), read("graph")
        tested, tested_labels = read("tx"), read("ty")
        count = len(read("y"))
    test = np.loadtxt(folder / f"ind.{name}.test.index", dtype=int)
    nodes = max(int(test.max()) + 1, len(links))
    features = sparse.lil_matrix((nodes, known.shape[1]), dtype="float32")
    one_hot = np.zeros((nodes, labels.shape[1]))
    features[: known.shape[0]], one_hot[: len(labels)] = known, labels
    features[test], one_hot[test] = tested, tested_labels
    pairs = [(node, other) for node, others in links.items() for other in others]
    split = {
        "train": np.arange(count),
        "validation": np.arange(count, count + VALIDATION),
        "test": np.sort(test),
    }
    labels = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1)
    return _graph(name, features.tocsr(), pairs, labels, split)
