"""Classifies the nodes of a graph with soft and with alignment attention.

    python examples/graphs/node_classification.py

trains the graph attention network of Velickovic et al. 2018 on Cora, which is
downloaded once, as it is and with adversarial alignment of keys and queries, in pairs
that share the seed. It prints a table with the paired differences and their 95%
intervals, and writes it with two pictures into `--output`. Runs that are in its
`runs.csv` are not made again.

    python examples/graphs/node_classification.py --dataset citeseer --seeds 20 \
        --methods soft,gan,ct,ot,mmd
    python examples/graphs/node_classification.py --dataset pubmed --scoring gatv2
    python examples/graphs/node_classification.py --dataset actor --data-dir data
"""

import argparse
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import citation_graphs
import compared_methods
import fetching
import graph_pictures
import graph_results
import graph_training
from graph_methods import METHODS

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", default="cora", choices=citation_graphs.DATASETS)
    add("--methods", default="soft,gan", help=f"of {','.join(METHODS)}")
    add("--seeds", type=int, default=2, help="runs of each method")
    add("--first-seed", type=int, default=0)
    add("--random-splits", action="store_true", help="another split for each seed")
    add("--labels", type=int, default=20, help="of a class, in random splits")
    add("--scoring", default="gat", choices=["gat", "gatv2"])
    add("--weight", type=float, help="of the alignments, instead of their own")
    add("--epochs", type=int, default=100_000, help="at most")
    add("--patience", type=int, default=100, help="epochs without progress")
    add("--precision", default="float32", choices=PRECISIONS)
    add("--no-jit", action="store_true", help="without XLA")
    add(
        "--data-dir", help="folder with planetoid/ and geom_gcn/, instead of a download"
    )
    add("--fold", type=int, choices=range(10), help="split of Actor; None: 0")
    add("--output", type=pathlib.Path, default="node_classification_results")
    options = parser.parse_args(arguments)
    check(parser, options)
    return options


def check(parser, options):
    """Refuses what cannot work before anything is fetched or computed."""
    compared_methods.read(parser, options, METHODS)
    for name in ("seeds", "labels", "epochs", "patience"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be positive")
    if options.first_seed < 0:
        parser.error(f"--first-seed must not be negative, not {options.first_seed}")
    if options.fold is not None and options.dataset != "actor":
        parser.error("--fold is for Actor alone")
    if options.random_splits and options.fold is not None:
        parser.error("--random-splits replaces the split that --fold names")
    options.fold = options.fold or 0


def main(arguments=None):
    options = parse_arguments(arguments)
    started = time.perf_counter()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        runs = graph_results.Runs(options.output / "runs.csv")
        graph = citation_graphs.load(options.dataset, options.data_dir, options.fold)
        last = split_of(graph, options.first_seed + options.seeds - 1, options)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    settings = graph_training.of_dataset(
        options.dataset,
        scoring=options.scoring,
        epochs=options.epochs,
        patience=options.patience,
        jit_compile=not options.no_jit,
        precision=options.precision,
    )
    nodes, size = graph.features.shape
    print(
        f"{options.dataset}: {nodes:,} nodes, {len(graph.edges):,} edges, {size:,} "
        f"features, {graph.num_classes} classes; {settings}",
        flush=True,
    )
    by_method, models = {}, {}
    for name in options.methods:
        title = METHODS[name].title
        by_method[title], model = compare(graph, name, settings, options, runs)
        models |= {title: model} if model is not None else {}
    table = graph_results.table(by_method)
    print(f"\n{table}\n")
    (options.output / "table.txt").write_text(table + "\n", encoding="utf-8")
    files = graph_pictures.draw(models, last, options.output)
    minutes = (time.perf_counter() - started) / 60
    print(f"Table, runs and {files} pictures: {options.output}. {minutes:.1f} minutes.")


def compare(graph, name, settings, options, runs):
    """Returns the rows of one method, and the network of the last seed if it is new."""
    method = METHODS[name].weighted(options.weight)
    repeated, model, rows = None, None, []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        key = key_of(name, method, seed, options)
        row = runs.find(key)
        if row is None:
            repeated = repeated or graph_training.RepeatedRuns(graph, method, settings)
            row = runs.add(key, repeated.run(seed, split_of(graph, seed, options)))
            model = repeated.model
        else:
            model = None
        print(
            f"{method.title}, seed {seed}: accuracy {100 * float(row['accuracy']):.1f}%"
            f" after {row['epochs_run']} epochs, {float(row['seconds']):.0f} s",
            flush=True,
        )
        rows.append(row)
    return rows, model


def split_of(graph, seed, options):
    """Returns the graph with the split of a seed."""
    if options.random_splits:
        return graph.random_split(seed, options.labels)
    return graph


def key_of(name, method, seed, options):
    """Returns what names a run: the first columns of its row."""
    split = f"random {options.labels}" if options.random_splits else "standard"
    if options.dataset == "actor" and not options.random_splits:
        split = f"fold {options.fold}"
    values = options.dataset, options.scoring, split, name, method.weight
    values += method.options, options.precision, seed, options.epochs, options.patience
    return dict(zip(graph_results.KEY, values, strict=True))


if __name__ == "__main__":
    main()
