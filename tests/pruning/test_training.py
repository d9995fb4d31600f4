"""Training on synthetic frames: it learns, and an interrupted run ends where an uninterrupted one does."""

import numpy as np
import pytest
import torch

from pruning import checkpoint, training
from pruning.config import Train
from pruning.data import Frames, carve, load_frames, read_pairs
from pruning.training import Pool, Trainer, frame_dice, frame_logits, moving_average
from tests.pruning.dataset import write_dataset
from tests.pruning.networks import spec

SPEC = spec(width=4, depth=3)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_dataset(root, 20)
    return [load_frames(part, SPEC.size) for part in carve(read_pairs(root), 0.2)]


def trainer(folder, epochs=2, precision="fp32", **settings):
    torch.manual_seed(0)
    recipe = Train(epochs=epochs, batch=4, learning_rate=1e-2, ema=0.5, precision=precision, **settings)
    return Trainer(checkpoint.create(SPEC), recipe, 0.5, 0, folder / "training.state")


def ignore(*_):
    pass


def stop_after_two(epoch):
    if epoch.epoch == 2:
        raise KeyboardInterrupt


def recoloured(frames):
    """The ellipses in other colours, as what is no polyp."""
    return Frames(frames.images.flip(1), torch.zeros_like(frames.masks), frames.stems)


def marked(found, frames):
    """Share of the recoloured ellipses' pixels that a network marks."""
    ellipse = frames.masks[:, 0].bool()
    return (frame_logits(found.network, SPEC, recoloured(frames).images)[ellipse] > 0).float().mean().item()


def test_it_learns_to_segment_the_ellipse(parts, tmp_path):
    epochs = []
    done = trainer(tmp_path, epochs=12).run(*parts, epochs.append, ignore)
    assert [epoch.epoch for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].loss < 0.8 * epochs[0].loss
    assert frame_dice(done.network, SPEC, parts[1], 0.5).mean() == pytest.approx(max(e.dice for e in epochs))
    assert max(e.dice for e in epochs) > 0.8


def test_a_resumed_training_equals_an_uninterrupted_one(parts, tmp_path):
    whole = trainer(tmp_path / "whole", epochs=3).run(*parts, ignore, ignore)

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "part", epochs=3).run(*parts, stop_after_two, ignore)
    seen = []
    resumed = trainer(tmp_path / "part", epochs=3).run(*parts, seen.append, ignore)
    assert [epoch.epoch for epoch in seen] == [3]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("precision", "native", "used"),
    [("fp32", True, torch.float32), ("bf16", True, torch.bfloat16), ("bf16", False, torch.float32)],
)
def test_bf16_is_used_where_it_is_asked_for_and_the_device_has_it(
    parts, tmp_path, monkeypatch, precision, native, used
):
    monkeypatch.setattr(training, "computes_bf16", lambda _device: native)
    asked = trainer(tmp_path, epochs=1, precision=precision)
    first = next(module for module in asked.network.modules() if isinstance(module, torch.nn.Conv2d))
    types = []
    first.register_forward_hook(lambda module, _, output: types.append(output.dtype) if module.training else None)
    asked.run(*parts, ignore, ignore)
    assert set(types) == {used}


def test_the_last_average_is_kept_where_the_recipe_says_so(parts, tmp_path):
    seen = []
    last = trainer(tmp_path, epochs=12, keep="last")
    done = last.run(*parts, seen.append, ignore)
    dice = [epoch.dice for epoch in seen]
    assert dice[-1] < max(dice)  # else the best one would be the same
    assert frame_dice(done.network, SPEC, parts[1], 0.5).mean() == pytest.approx(dice[-1])
    for name, value in last.average.module.state_dict().items():
        assert torch.equal(value, done.network.state_dict()[name]), name


def test_the_teacher_is_followed_where_the_masks_are_not(parts, tmp_path):
    """A student with the teacher as its only target reproduces it, although the masks say the opposite."""
    teacher = trainer(tmp_path / "teacher", epochs=8).run(*parts, ignore, ignore)
    training, validation = parts
    wrong = type(training)(training.images, 1 - training.masks, training.stems)
    student = trainer(tmp_path / "student", epochs=8, teacher=1.0)
    done = student.run(wrong, validation, ignore, ignore, teacher.network)
    assert frame_dice(done.network, SPEC, validation, 0.5).mean() > 0.7


def test_what_mucosa_shows_is_not_marked(parts, tmp_path):
    """An ellipse in other colours is marked too, unless frames say that it is no polyp."""
    training, validation = parts
    other = recoloured(training)

    def marked_with(share, steps):
        student = trainer(tmp_path / str(share), epochs=20, mucosa=share, keep="last")
        ticks = []
        done = student.run(
            training, validation, ignore, lambda *tick: ticks.append(tick), mucosa=other if share else None
        )
        assert ticks == [(step, steps) for _ in range(20) for step in range(1, steps + 1)]
        assert frame_dice(done.network, SPEC, validation, 0.5).mean() > 0.7
        return marked(done, training)

    assert marked_with(0.0, steps=4) > 0.7
    assert marked_with(0.5, steps=6) < 0.1, "16 frames and 8 of the others"


def test_what_the_teacher_marks_without_a_polyp_is_not_taught(parts, tmp_path):
    """The teacher marks an ellipse in other colours, and is most of what the student follows where there is a polyp."""
    training, validation = parts
    teacher = trainer(tmp_path / "teacher", epochs=12, keep="last").run(training, validation, ignore, ignore)
    student = trainer(tmp_path / "student", epochs=12, teacher=0.8, mucosa=0.5, keep="last")
    done = student.run(training, validation, ignore, ignore, teacher.network, recoloured(training))
    assert marked(teacher, training) > 0.7
    assert marked(done, training) < 0.1
    assert frame_dice(done.network, SPEC, validation, 0.5).mean() > 0.7


@pytest.mark.parametrize(("share", "added"), [(0.0, 0), (0.25, 4), (0.5, 6)])
def test_an_epoch_sees_all_training_frames_and_other_mucosa_each_time(parts, share, added):
    """Of 16 frames a half would be 8; there are 6 of mucosa."""
    training, _ = parts
    pool = Pool(training, training.subset(torch.arange(6)), share)
    epochs = [pool.shuffled().tolist() for _ in range(20)]
    assert all(len(set(index)) == len(index) == len(pool) == 16 + added for index in epochs)
    assert all(set(range(16)) <= set(index) for index in epochs)
    assert set().union(*epochs) == set(range(16 + (6 if added else 0)))


@pytest.mark.parametrize(("steps", "left"), [(1, 2 / 11), (100, 1e-9)])
def test_the_average_forgets_where_it_started(steps, left):
    """After one update 2/11 of the start is left: the decay is (1 + n) / (10 + n) first."""
    average = [torch.ones(3)]
    for update in range(1, steps + 1):
        moving_average(0.99)(average, [torch.zeros(3)], torch.tensor(update))
    assert average[0].max() <= left * 1.0001


def test_the_average_ends_with_the_decay_that_was_asked_for():
    average = [torch.ones(3)]
    moving_average(0.9)(average, [torch.zeros(3)], torch.tensor(10_000))
    assert average[0].tolist() == pytest.approx([0.9] * 3)


def test_patience_ends_a_training_that_no_longer_gets_better_and_outlasts_an_interruption(parts, tmp_path):
    """With a vanishing learning rate the first epoch stays the best."""
    still = {"epochs": 6, "patience": 2}
    whole, resumed = [], []

    standing(tmp_path / "whole", **still).run(*parts, whole.append, ignore)
    with pytest.raises(KeyboardInterrupt):
        standing(tmp_path / "part", **still).run(*parts, stop_after_two, ignore)
    standing(tmp_path / "part", **still).run(*parts, resumed.append, ignore)
    assert [epoch.epoch for epoch in whole] == [1, 2, 3]
    assert [epoch.epoch for epoch in resumed] == [3]


def standing(folder, **settings):
    torch.manual_seed(0)
    network = checkpoint.create(SPEC)
    for module in network.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    recipe = Train(batch=4, learning_rate=1e-12, ema=0.5, precision="fp32", **settings)
    return Trainer(network, recipe, 0.5, 0, folder / "training.state")


def test_the_best_epoch_is_kept_though_it_lies_before_an_interruption(parts, tmp_path, monkeypatch):
    def scored(dice):
        monkeypatch.setattr(training, "frame_dice", lambda *_: np.array([next(dice)]))

    scored(iter([0.9, 0.5, 0.4]))
    whole = trainer(tmp_path / "whole", epochs=3).run(*parts, ignore, ignore)
    scored(iter([0.9, 0.5, 0.4]))
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "part", epochs=3).run(*parts, stop_after_two, ignore)
    resumed = trainer(tmp_path / "part", epochs=3).run(*parts, ignore, ignore)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_a_recipes_augmentation_is_what_frames_get(parts, tmp_path, monkeypatch):
    seen = {"augment": []}
    make, apply = training.augmentation, training.augment
    monkeypatch.setattr(training, "augmentation", lambda *given: seen.update(made=given) or make(*given))
    monkeypatch.setattr(training, "augment", lambda *given: seen["augment"].append(given[2:]) or apply(*given))
    trainer(tmp_path, epochs=1, close_ups=0.125, colour=0.75, covered=0.5).run(*parts, ignore, ignore)
    assert seen["made"] == (SPEC.size, 0.125, 0.75)
    assert set(seen["augment"]) == {(0.5,)}


@pytest.mark.parametrize(
    ("threshold", "dice"), [(0.2, [0.8, 0, 1]), (0.5, [1, 0, 1]), (0.8, [2 / 3, 0, 1]), (0.95, [0, 1, 1])]
)
def test_dice_is_that_of_each_frame_at_the_threshold(threshold, dice):
    """A third of a frame each is sure by .3, .6 and .9; the truth is the last two, then nothing. The third is empty."""
    probability = torch.tensor([0.3, 0.6, 0.9]).repeat_interleave(2).expand(3, 1, 6, 6).clone()
    probability[2] = 0.1
    masks = torch.zeros(3, 1, 6, 6, dtype=torch.uint8)
    masks[0, :, :, 2:] = 1
    network = torch.nn.Conv2d(3, 1, 1)
    network.forward = lambda images: probability.logit()[: len(images)]
    frames = Frames(torch.zeros(3, 3, 6, 6, dtype=torch.uint8), masks, ["truth", "no polyp", "nothing marked"])
    assert frame_dice(network, SPEC, frames, threshold).tolist() == pytest.approx(dice)
