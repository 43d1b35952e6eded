"""Options that scripts which fine-tune share, and what they stand for."""

import argparse
import dataclasses
import math
import pathlib
import sys

import fetching
import finetuning
import glue_tasks
import methods
import numpy as np
import own_sentences
import sentences

TOKENS_OF_REVIEWS = 32  # four of five movie reviews fit as a whole
PRECISIONS = ("float32", "float64", "mixed_bfloat16", "mixed_float16")
PRECISIONS += ("bfloat16", "float16")
PAPER_REGIME = ("learning_rate", "batch_size", "epochs", "warm_up", "dropout")


def positive(text):
    """Reads a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, not {text!r}")
    return int(text)


def labels(text):
    """Reads a dictionary from labels to classes, as of `0=negative,1=positive`."""
    pairs = [each.partition("=") for each in text.split(",")]
    found = {label.strip(): name.strip() for label, _, name in pairs}
    if not all([*found, *found.values()]) or len(found) < len(pairs):
        raise argparse.ArgumentTypeError(
            f"expected LABEL=CLASS,LABEL=CLASS,... of different labels, not {text!r}"
        )
    return found


def add_labels(add, of):
    """Adds to a parser what the labels of files are by the names of training."""
    text = f"classes of training by labels of {of}; None: labels are the same"
    add("--labels", type=labels, metavar="0=NAME,1=NAME", help=text)


def add_comparison_options(add, seeds):
    """Adds to a parser on what methods are compared, and how they are trained."""
    add_repetitions(add, seeds)
    of_classes = [x for x, layout in glue_tasks.TASKS.items() if layout.has_classes]
    add("--task", choices=["movies", *of_classes], default="movies")
    add("--data-dir", type=pathlib.Path, help="folder of the GLUE task's files")
    add_training_options(add)
    add("--sequence-length", type=positive, help="tokens; None: suits the sentences")


def add_methods(add, seeds, compared="soft,ct"):
    """Adds to a parser which methods are compared."""
    add("--compare", default=compared, help=f"of {', '.join(methods.METHODS)}")
    add_repetitions(add, seeds)


def add_repetitions(add, seeds):
    """Adds to a parser how strong alignments are, and how often methods run."""
    add("--weight", type=float, help="of the alignment loss; None: the library's own")
    add("--seeds", type=positive, default=seeds, help="runs of each method")


def add_execution(add, length_buckets=4):
    """Adds to a parser what is trained and how it is computed, see `execution`."""
    add("--preset", help="keras-nlp preset or local folder; None: MiniLM")
    add("--precision", default="float32", help="dtype policy, as mixed_bfloat16")
    add("--no-jit", action="store_true", help="compile without XLA")
    buckets = "lengths to which padding is cut; XLA compiles for each"
    add("--length-buckets", type=positive, default=length_buckets, help=buckets)


def execution(options):
    """Returns the arguments of `finetuning.Settings` of `add_execution`."""
    return {
        "preset": options.preset or fetching.minilm(),
        "precision": options.precision,
        "jit_compile": not options.no_jit,
        "length_buckets": options.length_buckets,
        "verbose": 1 if sys.stdout.isatty() else 2,
    }


def add_paper_regime(add):
    """Adds to a parser the paper's settings, which depend on the task."""
    for name in PAPER_REGIME:
        kind = positive if name in ("batch_size", "epochs") else float
        flag = "--" + name.replace("_", "-")
        add(flag, type=kind, help="None: the paper's, which depends on the task")


def paper_regime(options, regime):
    """Returns a dictionary as `regime`, but for what the options name."""
    given = {key: getattr(options, key) for key in PAPER_REGIME}
    return regime | {key: value for key, value in given.items() if value is not None}


def add_training_options(add):
    """Adds to a parser what says how a classifier is trained, and on what."""
    own = "your own CSV file: columns text, label"
    add("--data", type=pathlib.Path, metavar="FILE.csv", help=own)
    other = "test set of another domain for --data: the same columns and classes"
    add("--out-of-domain", type=pathlib.Path, metavar="FILE.csv", help=other)
    add_execution(add, length_buckets=1)
    add_regime(add)


def add_regime(add):
    """Adds to a parser how long and how fast a classifier is trained."""
    add("--train-size", type=positive, default=1024, help="sentences trained on")
    add("--test-size", type=positive, default=250, help="most per test set")
    add("--epochs", type=positive, default=2)
    add("--batch-size", type=positive, default=16)
    rate = "highest rate; it falls linearly to zero"
    add("--learning-rate", type=float, default=2e-4, help=rate)
    share = "share of the steps in which rate and alignment weight rise"
    add("--warm-up", type=float, default=0.1, help=share)


def choose_methods(parser, options):
    """Returns the list of `methods.Method` to compare, the baseline first."""
    alignment = getattr(options, "alignment", None)
    if options.compare and alignment:
        parser.error("--compare names all methods: leave out --alignment")
    alignment = alignment or "ct"
    names = ["soft"] if alignment == "none" else ["soft", alignment]
    if options.compare:
        names = [name.strip() for name in options.compare.split(",")]
    unknown = [name for name in names if name not in methods.METHODS]
    if unknown or len(set(names)) < len(names):
        parser.error(
            f"--compare takes different names of {', '.join(methods.METHODS)}, not "
            f"{options.compare}"
        )
    return [methods.METHODS[name].with_weight(options.weight) for name in names]


def check_options(parser, options):
    """Refuses what cannot work before anything is fetched or computed."""
    if options.data and options.task != "movies":
        parser.error("--data defines a task of its own: leave out --task")
    if options.out_of_domain and not options.data:
        parser.error("--out-of-domain needs --data, the sentences to train on")
    if options.task != "movies" and not options.data_dir:
        parser.error(
            f"--task {options.task} needs --data-dir, the folder of the files of "
            "the GLUE benchmark (gluebenchmark.com/tasks)"
        )
    check_training(parser, options)


def check_training(parser, options):
    """Refuses numbers and dtype policies that are none."""
    check_regime(parser, options)
    check_weight(parser, options)
    if options.precision not in PRECISIONS:
        parser.error(
            f"--precision must be a dtype policy of {', '.join(PRECISIONS)}, not "
            f"{options.precision!r}"
        )


def check_weight(parser, options):
    """Refuses a weight of the alignment loss that float32 cannot hold."""
    largest = float(np.finfo("float32").max)
    if options.weight is not None and not 0 <= options.weight <= largest:
        parser.error(
            f"--weight must be a number >= 0 that fits float32, not {options.weight}"
        )


def check_regime(parser, options):
    """Refuses rates and shares that are none; what is `None` is left to the task."""
    rate = options.learning_rate
    if rate is not None and not 0 < rate < math.inf:
        parser.error(f"--learning-rate must be positive, not {rate}")
    for name in ("warm_up", "dropout"):
        share = getattr(options, name, None)
        if share is not None and not 0 <= share < 1:
            flag = name.replace("_", "-")
            parser.error(f"--{flag} must be in [0, 1), not {share}")


def load_task(options):
    """Returns the `sentences.Task` that the options name."""
    if options.data:
        task = own_sentences.own_sentences(
            options.data, options.test_size, options.out_of_domain
        )
    elif options.task != "movies":
        task = glue_tasks.glue_task(options.task, options.data_dir, options.test_size)
    else:
        folder = fetching.rated_sentences()
        task = sentences.rated_sentences(folder, options.test_size)
    few = task.validation.first(options.test_size)  # for the temperature alone
    return dataclasses.replace(task, validation=few)


def choose_settings(options, task):
    """Returns the `finetuning.Settings` that the options name."""
    computed = execution(options)
    length = options.sequence_length
    if length is None and not options.data and options.task == "movies":
        length = TOKENS_OF_REVIEWS
    regime = ("train_size", "batch_size", "epochs", "learning_rate", "warm_up")
    return finetuning.Settings(
        **computed,
        sequence_length=length or finetuning.suitable_length(task, computed["preset"]),
        **{name: getattr(options, name) for name in regime},
    )
