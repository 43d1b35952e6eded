"""How well a network answers, and how far its confidence can be trusted."""

import numpy as np
import scoring
import wups

import keras_align

RISK = 0.05
SAMPLED = 1000  # questions at most, as each is answered many times


def test(model, task, images=None, samples=20):
    """Returns the scores of a network on the questions of a test.

    A question whose answer training never had counts as answered wrongly, whatever
    comes.

    Args:
        model: `keras_align.models.ModularCoAttentionNetwork`.
        task: `vqa_training.Task`.
        images: Array in the place of the task's, as noisy ones.
        samples: Integer, of `keras_align.sample_predictions`, for `SAMPLED` questions;
            with 0 or without dropout there is no PAvPU.

    Returns:
        A dictionary of floats: `accuracy` (on VQA-v2 the mean score), and
        `accuracy_<kind>` for questions of several kinds; `ece`, `coverage` (at a risk
        of 5%), `risk_coverage` (the area), `pavpu`, and with a similarity of words
        `wups` (at 0.9) and `wups_0`.
    """
    questions = task.data.test
    batches = task.batches(questions, images)
    logits = model.predict(batches, verbose=0)
    probabilities, labels = scoring.softmax(logits), task.vocabulary.labels(questions)
    hits = earned(task.vocabulary.scores(questions), probabilities)
    scores = {"accuracy": float(np.mean(hits)), **of_kinds(questions.kinds, hits)}
    scores |= nearness(task, probabilities)
    labels = unseen_last(probabilities, labels)
    scores |= trust(with_unseen(probabilities), labels)
    if samples and model.get_config()["dropout"]:
        scores["pavpu"] = sampled_trust(model, task, labels, images, samples)
    return scores


def sampled_trust(model, task, labels, images, samples):
    """Returns the PAvPU of questions that are spread over the test."""
    count = len(labels)
    some = np.linspace(0, count - 1, min(SAMPLED, count)).astype(int)
    batches = task.batches(task.data.test.take(some), images)
    sampled = keras_align.sample_predictions(model, batches, samples)
    metric = keras_align.PAvPU()
    metric.update_state(labels[some], with_unseen(scoring.softmax(sampled)))
    return float(metric.result())


def earned(scores, probabilities):
    """Returns the score of the best answer of every question, `(n,)`."""
    return scores[np.arange(len(scores)), probabilities.argmax(-1)]


def of_kinds(kinds, hits):
    """Returns the mean of every kind of question."""
    if kinds is None:
        return {}
    return {
        f"accuracy_{kind.lower()}": float(np.mean(hits[np.array(kinds) == kind]))
        for kind in sorted(set(kinds))
    }


def nearness(task, probabilities):
    """Returns how near the best answers are to the true ones."""
    if task.similarity is None:
        return {}
    given = [task.vocabulary.answers[k] for k in probabilities.argmax(-1)]
    true = [max(answers, key=answers.get) for answers in task.data.test.answers]
    return {
        "wups": wups.wups(given, true, task.similarity),
        "wups_0": wups.wups(given, true, task.similarity, threshold=0.0),
    }


def trust(probabilities, labels):
    """Returns what calibration and selective answering come to."""
    metrics = {
        "ece": keras_align.ExpectedCalibrationError(),
        "coverage": keras_align.RiskCoverage(RISK),
        "risk_coverage": keras_align.RiskCoverage(),
    }
    for metric in metrics.values():
        metric.update_state(labels, probabilities)
    return {name: float(metric.result()) for name, metric in metrics.items()}


def with_unseen(probabilities):
    """Returns probabilities with one more class, of answers that training never had."""
    return np.concatenate([probabilities, np.zeros_like(probabilities[..., :1])], -1)


def unseen_last(probabilities, labels):
    """Returns the labels with the last class for -1."""
    return np.where(labels < 0, probabilities.shape[-1], labels)


def baselines(task):
    """Returns the accuracy of the most frequent answer of training."""
    scores = task.vocabulary.scores(task.data.test)
    return {"most frequent answer": float(np.mean(scores[:, 0]))}


def without_images(task):
    """Returns images that say nothing: each is the mean of all."""
    if task.masked:
        return task.images.without_images()
    mean = task.images.mean(axis=0, keepdims=True).astype(task.images.dtype)
    return np.broadcast_to(mean, task.images.shape)
