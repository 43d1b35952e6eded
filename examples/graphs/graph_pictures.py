"""Pictures of trained networks: what they make of the nodes, and where they look."""

import keras
import numpy as np
from graph_scores import predict
from keras import ops, tree
from sklearn.manifold import TSNE

from keras_align.graphs import with_sparse_tensors

FIRST = "graph_attention_1"
SHOWN = 1500  # nodes
DEGREE = range(6, 11)  # of the node whose neighbourhood is shown


def draw(models, graph, folder):
    """Writes the pictures of some networks and returns how many there are.

    Args:
        models: Dictionary from titles to `keras_align.models.GraphAttentionNetwork`.
        graph: A `citation_graphs.Graph`.
        folder: `pathlib.Path`.
    """
    if not models:
        return 0
    draw_embeddings(models, graph).savefig(folder / "embeddings.png", dpi=120)
    draw_neighbourhood(models, graph).savefig(folder / "attention.png", dpi=120)
    return 2


def draw_embeddings(models, graph):
    """Returns a figure of the hidden features of test nodes, by t-SNE."""
    figure, axes = panels(len(models))
    nodes = graph.split["test"][:SHOWN]
    for axis, (title, model) in zip(axes, models.items(), strict=True):
        hidden = keras.Model(model.input, model.get_layer(FIRST).output)
        features = predict(hidden, graph)[nodes]
        points = TSNE(random_state=0).fit_transform(features)
        colours = graph.labels[nodes]
        drawn = axis.scatter(
            *points.T, c=colours, s=6, cmap="tab10", vmin=0, vmax=10, rasterized=True
        )
        axis.set_title(f"{title}: hidden features of {len(nodes)} test nodes (t-SNE)")
        axis.set_xticks([])
        axis.set_yticks([])
    figure.legend(*drawn.legend_elements(), title="class", loc="outside right upper")
    return figure


def draw_neighbourhood(models, graph):
    """Returns a figure of the attention of one test node, head by head."""
    figure, axes = panels(len(models))
    node, edges = neighbourhood(graph)
    for axis, (title, model) in zip(axes, models.items(), strict=True):
        weights = attention(model, graph)[edges]  # (neighbours and itself, N)
        image = axis.imshow(weights.T, vmin=0.0, vmax=weights.max(), aspect="auto")
        of = [*graph.edges[edges[:-1], 0], node]
        names = [f"node {i}\nclass {graph.labels[i]}" for i in of]
        names[-1] = f"itself\nclass {graph.labels[node]}"
        axis.set_xticks(range(len(of)), names, fontsize=7)
        axis.set_yticks(range(weights.shape[1]))
        axis.set_ylabel("head, from 0")
        axis.set_title(f"{title}: to whom node {node} attends")
        figure.colorbar(image, ax=axis, label="attention weight")
    return figure


def attention(model, graph):
    """Returns the weights `(m + n, N)` of the first layer."""
    inputs = tree.map_structure(
        ops.convert_to_tensor, with_sparse_tensors(graph.inputs())
    )
    _, weights = model.get_layer(FIRST)(**inputs, return_attention_scores=True)
    return ops.convert_to_numpy(weights)


def neighbourhood(graph):
    """Returns a test node with neighbours of several classes, and its edges."""
    for node in graph.split["test"]:
        edges = np.flatnonzero(graph.edges[:, 1] == node)
        classes = set(graph.labels[graph.edges[edges, 0]])
        if len(edges) in DEGREE and len(classes) > 1:
            break
    return node, np.append(edges, len(graph.edges) + node)


def panels(count):
    """Returns a figure with some panels side by side, as a list of axes."""
    from matplotlib.figure import Figure

    figure = Figure((6.5 * count, 5.5), layout="constrained")
    return figure, [figure.add_subplot(1, count, k + 1) for k in range(count)]
