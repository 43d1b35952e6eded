"""The loaders of `examples/vqa` on small copies of the data sets, and their scores."""

import numpy as np
import pytest
import question_data
import question_sets
import small_question_sets as small
import vqa_scores
import vqa_v2
import wups
from question_batches import QuestionBatches, noisy
from stored_features import StoredFeatures
from wordnet_nouns import Nouns

pytestmark = pytest.mark.backends("tensorflow")


def test_easy_vqa(tmp_path):
    data = question_sets.load_easy_vqa(small.write_easy_vqa(tmp_path))
    assert (data.num_images, len(data.train), len(data.test)) == (24, 24, 24)
    assert data.test.images.min() == 12  # after those of training
    image = data.load_images(data.test.images[[2]])[0]
    assert data.test.answers[2] == {"green": 1.0}
    assert (image == small.COLOURS["green"]).all()


def test_daquar(tmp_path):
    small.write_daquar(tmp_path / "daquar")
    data = question_sets.load("daquar", tmp_path)
    assert data.train.images.tolist() == [1, 0]
    assert data.load_images(np.array([0, 2])).shape == (2, 32, 32, 3)
    vocabulary = question_data.Vocabulary.of(data.train)
    assert vocabulary.labels(data.test).tolist() == [1, -1]


def test_vqa_rad(tmp_path):
    small.write_vqa_rad(tmp_path / "vqa_rad")
    data = question_sets.load("vqa_rad", tmp_path)
    assert data.test.kinds == ["CLOSED", "OPEN"]
    images = data.load_images(data.test.images)
    assert images.shape == (2, 3, 3, 3)
    assert images[0, 0, 0].tolist() == [9, 9, 9]


def test_vqa_v2(tmp_path):
    small.write_vqa_v2(tmp_path / "vqa_v2")
    data = question_sets.load("vqa_v2", tmp_path)
    assert data.train.answers[0] == pytest.approx({"yes": 1.0, "no": 0.6, "2": 0.3})
    features = data.load_images(np.array([0, 2]))
    assert features.shape == (2, vqa_v2.REGIONS, 5)
    regions = features.any(axis=-1)
    assert regions.sum(axis=1).tolist() == [2, 4]  # images 1 and 3
    assert (features[1, :4] == 3.0).all()


def test_features_that_are_read_when_they_are_needed():
    def load(numbers):
        regions = np.arange(4)[:, None] < numbers[:, None, None] + 1
        return regions * (numbers[:, None, None] + [1.0, 3.0, 5.0, 7.0])

    stored = StoredFeatures(load, 3)
    assert (stored.shape, stored.ndim, len(stored)) == ((3, 4, 4), 3, 3)
    batches = QuestionBatches(
        stored, np.ones((4, 2), "int32"), np.array([2, 0, 1, 2]), None, 2,
        masked=True, shuffle=False,
    )  # fmt: skip
    ((inputs,), (again,)) = batches[0], batches[1]
    assert inputs["image_mask"].sum(axis=1).tolist() == [3, 1]
    np.testing.assert_array_equal(inputs["image"], load(np.array([2, 0])))
    disturbed = noisy(stored, seed=1, scale=0.5)
    ours = disturbed[np.array([0, 2])]
    assert (ours.any(axis=-1) == load(np.array([0, 2])).any(axis=-1)).all()
    np.testing.assert_array_equal(disturbed[np.array([2])], ours[1:])  # as before
    assert not np.array_equal(ours[1], noisy(stored, 2, 0.5)[np.array([2])][0])
    # Regions by image: once 1, twice 2, three times 3 more than the first feature.
    same = stored.without_images()[np.array([1, 0])]
    expected = np.broadcast_to([7 / 3, 13 / 3, 19 / 3, 25 / 3], (2, 4, 4))
    np.testing.assert_allclose(same, expected, rtol=1e-6)
    assert again["image_mask"].sum(axis=1).tolist() == [2, 3]


def test_images_that_are_held_out(tmp_path):
    data = question_sets.load_easy_vqa(small.write_easy_vqa(tmp_path))
    held_out = data.held_out()
    images = [set(part.images.tolist()) for part in (held_out.train, held_out.test)]
    assert not images[0] & images[1]
    assert images[0] | images[1] == set(data.train.images.tolist())
    assert len(held_out.test) == 2 * round(0.2 * 12)
    assert held_out.name == "easy_vqa held out"


@pytest.mark.parametrize("given", range(1, 11))
def test_soft_accuracy_is_the_mean_over_all_nine_of_ten_people(given):
    answers = ["cat"] * given + ["dog"] * (10 - given)
    others = [answers[:k] + answers[k + 1 :] for k in range(10)]
    expected = np.mean([min(nine.count("cat") / 3, 1) for nine in others])
    assert vqa_v2.soft_accuracies(answers)["cat"] == pytest.approx(expected)


def test_a_data_set_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="daquar needs --data-dir"):
        question_sets.load("daquar")
    with pytest.raises(FileNotFoundError):
        question_sets.load("daquar", tmp_path)


def test_words_and_answers_are_those_of_training():
    questions = question_data.Questions(
        ["What's on the table?", "Is the TV on?", "is it on?"],
        np.zeros(3, int),
        [{"cup": 1.0}, {"no": 0.9, "yes": 0.3}, {"no": 1.0}],
    )
    vocabulary = question_data.Vocabulary.of(questions, length=3)
    assert vocabulary.answers == ["no", "cup", "yes"]
    ids = vocabulary.ids(["is the lamp on", "", "TABLE"])
    words = vocabulary.words
    assert ids.tolist() == [
        [words["is"], words["the"], 1],
        [0] * 3,
        [words["table"], 0, 0],
    ]
    np.testing.assert_allclose(vocabulary.scores(questions)[1], [0.9, 0.0, 0.3])
    assert sorted(words.values()) == list(range(2, vocabulary.num_words))


def test_batches_hold_the_image_of_each_question():
    images = np.arange(5.0)[:, None] * np.ones((5, 3))
    numbers = np.array([4, 0, 2, 2, 1])
    batches = QuestionBatches(
        images, np.arange(5)[:, None], numbers, numbers, 2, seed=1
    )
    seen = []
    for k in range(len(batches)):
        inputs, targets = batches[k]
        assert (inputs["image"][:, 0] == targets).all()
        assert (numbers[inputs["question"][:, 0]] == targets).all()
        seen += targets.tolist()
    assert len(seen) == 4


def test_noise_has_the_size_of_each_feature():
    rng = np.random.default_rng(0)
    images = (rng.standard_normal((500, 4, 3)) * [1.0, 10.0, 0.0]).astype("float16")
    added = noisy(images, seed=1, scale=0.5) - images
    np.testing.assert_allclose(added.std(axis=(0, 1)), [0.5, 5.0, 0.0], rtol=0.05)


def test_answers_that_training_never_had_are_wrong():
    probabilities = np.float32([[0.9, 0.1], [0.2, 0.8]])
    labels = vqa_scores.unseen_last(probabilities, np.array([0, -1]))
    scores = vqa_scores.trust(vqa_scores.with_unseen(probabilities), labels)
    assert scores["coverage"] == 0.5
    assert scores["ece"] == pytest.approx((0.1 + 0.8) / 2)
    hits = vqa_scores.earned(np.float32([[1, 0], [0, 0]]), probabilities)
    assert vqa_scores.of_kinds(["A", "B"], hits) == {"accuracy_a": 1, "accuracy_b": 0}


def test_wups_by_hand():
    near = {("cup", "mug"): 0.95, ("cup", "chair"): 0.5, ("table", "chair"): 0.8}

    def similarity(a, b):
        return near.get((a, b), near.get((b, a), 0.0))

    assert wups.wups(["cup"], ["cup"], similarity) == 1.0
    assert wups.wups(["cup"], ["mug"], similarity) == 0.95
    assert wups.wups(["cup"], ["chair"], similarity) == pytest.approx(0.05)
    assert wups.wups(["cup"], ["chair"], similarity, 0.0) == 0.5
    # The answer lacks one of two: the worse direction counts, 1 * 0.08.
    both = wups.wups(["chair"], ["chair, table"], similarity)
    assert both == pytest.approx(0.08)


def test_similarity_of_nouns(tmp_path):
    nouns = Nouns(small.write_wordnet(tmp_path))
    assert nouns.similarity("chair", "chairs") == 1.0
    # Both are furniture, of depth 2; two steps and one lead there.
    assert nouns.similarity("chair", "table") == pytest.approx(4 / 7)
    assert nouns.similarity("furniture", "chair") == pytest.approx(4 / 6)
    assert nouns.similarity("shelves", "seat") == 1.0
    assert nouns.similarity("blue", "chair") == 0.0
    assert nouns.senses("Tables") == ["00000005", "00000006"]
    with pytest.raises(FileNotFoundError):
        Nouns(tmp_path / "nowhere")
