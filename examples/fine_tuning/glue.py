"""Fine-tunes BERT on tasks of the GLUE benchmark, with soft and alignment attention.

    python examples/fine_tuning/glue.py --data-dir glue --tasks MRPC,RTE,CoLA --seeds 5

reads the official files of the tasks (gluebenchmark.com/tasks), fine-tunes a
pre-trained MiniLM BERT, or any other `--preset`, on each of them with every method of
`--compare`, in pairs that share the seed, and tests on the development set by the
measures of the benchmark (Wang et al., 2019) and by calibration. Learning rates, batch
sizes, epochs, warm-up and dropout are by default those with which the paper fine-tunes
ALBERT, see `glue_tasks.REGIMES`; a smaller model takes higher rates:

    python examples/fine_tuning/glue.py --data-dir glue --learning-rate 1e-4 \
        --train-size 2048 --epochs 3 --compare soft,label_smoothing,ct,gan,ot,mmd

Every run is a row of `runs.csv` in `--output`; runs that are there are not repeated.
"""

import argparse
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

import quiet_tensorflow

quiet_tensorflow.load()

import command_line
import estimating
import fetching
import finetuning
import freed_memory
import glue_tasks
import kept_runs

LONGEST = 512  # tokens, as in the paper


def parse_arguments(arguments=None):
    """Returns the options of the command line, `methods` among them."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, positive = parser.add_argument, command_line.positive
    tasks = ",".join(glue_tasks.TASKS)
    add("--data-dir", type=pathlib.Path, required=True, help="a folder for each task")
    add("--tasks", default=tasks, metavar="NAME,NAME,...")
    command_line.add_methods(add, seeds=5)
    command_line.add_execution(add)
    add("--train-size", type=positive, help="sentences trained on; None: all")
    add("--test-size", type=positive, help="most per test set; None: all")
    add("--sequence-length", type=positive, help="tokens; None: holds 99%% whole")
    command_line.add_paper_regime(add)
    add("--output", type=pathlib.Path, default="glue_results")
    options = parser.parse_args(arguments)
    check_options(parser, options)
    return options


def check_options(parser, options):
    """Refuses what cannot work; makes tasks and methods lists."""
    options.tasks = [name.strip() for name in options.tasks.split(",")]
    unknown = [name for name in options.tasks if name not in glue_tasks.TASKS]
    if unknown or len(set(options.tasks)) < len(options.tasks):
        parser.error(
            f"--tasks takes different names of {', '.join(glue_tasks.TASKS)}, not "
            f"{','.join(options.tasks)}"
        )
    options.methods = command_line.choose_methods(parser, options)
    command_line.check_training(parser, options)
    missing = [x for x in options.tasks if not (options.data_dir / x).is_dir()]
    if missing and len(options.tasks) > 1:
        parser.error(
            f"--data-dir of several tasks needs a folder for each. Received: "
            f"{options.data_dir}, without {', '.join(missing)}"
        )


def choose_settings(task, name, options):
    """Returns the `finetuning.Settings` for a task."""
    regime = vars(glue_tasks.REGIMES[name])
    execution = command_line.execution(options)
    length = options.sequence_length
    return finetuning.Settings(
        **execution,
        sequence_length=length
        or finetuning.suitable_length(task, execution["preset"], LONGEST, share=0.99),
        train_size=options.train_size,
        **command_line.paper_regime(options, regime),
    )


def main(arguments=None):
    """Runs the comparisons that the command line asks for."""
    options, begin = parse_arguments(arguments), time.perf_counter()
    freed_memory.keep()
    found = []
    try:
        tasks = {
            name: glue_tasks.glue_task(name, options.data_dir, options.test_size)
            for name in options.tasks
        }
        options.output.mkdir(parents=True, exist_ok=True)
        runs = kept_runs.open_runs(options.output / "runs.csv")
        for name, task in tasks.items():
            settings = choose_settings(task, name, options)
            compared = methods_of(task, options.methods)
            if not compared:
                continue
            print(f"\n{kept_runs.described(settings)}")
            estimating.announce(task, settings, len(compared), options.seeds)
            of_task = kept_runs.compare(task, compared, settings, options.seeds, runs)
            found.append(of_task)
            print(f"\n{kept_runs.text(of_task)}", flush=True)
    except (fetching.FetchError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print("\nAll tasks:")
    kept_runs.write(found, options.output, begin)


def methods_of(task, methods):
    """Returns the methods that there are for a task: numbers have no smooth labels."""
    kept = [x for x in methods if not (task.is_regression and x.label_smoothing)]
    for method in methods:
        if method not in kept:
            print(f"{task.name} has no classes: {method.title} is left out")
    return kept


if __name__ == "__main__":
    main()
