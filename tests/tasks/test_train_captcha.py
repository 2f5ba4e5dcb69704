import json

import numpy as np
import pytest
import torch

from imgtool.data.captcha_set import CaptchaItem
from imgtool.imaging.fonts import find_fonts
from imgtool.options.captcha import CaptchaOptions
from imgtool.options.captcha_reader import TrainCaptchaOptions
from imgtool.runtime.checkpoints import save_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.captcha import Captchas
from imgtool.tasks.captcha_examples import Drawn, Labelled
from imgtool.tasks.load import load_reader
from imgtool.tasks.read_captcha import Reader
from imgtool.tasks.train_captcha import CaptchaJudge, CaptchaTrainee, network_to_train, shape_of
from imgtool.training.loop import Limits, fit
from imgtool.training.run_folder import LAST, MODEL, RunFolder

CPU = Device(torch.device("cpu"), torch.float32, "test")
BF16 = Device(torch.device("cpu"), torch.bfloat16, "test")
META = Device(torch.device("meta"), torch.float32, "test")
PLAIN = {
    "size": (48, 24),
    "length": (2, 2),
    "lines": 0,
    "dots": 0,
    "noise": 0.0,
    "rotation": 0.0,
    "wave": (0.0, 0.0),
}


def style(seed=0):
    return Captchas(CaptchaOptions(seed=seed, **PLAIN), find_fonts(()), alphabet="AX7")


def trainee_of(*, device=CPU, judged=True, **changes):
    options = TrainCaptchaOptions(**{"batch": 8, "height": 24, "hidden": 16, "steps": 60, **changes})
    examples = Drawn([style()], height=24)
    network, alphabet = network_to_train(examples.alphabet, options, None)
    judge = CaptchaJudge(Drawn([style(1)], height=24, count=24)) if judged else None
    return CaptchaTrainee(examples, alphabet, options, network=network, device=device, judge=judge)


def test_learns_to_read():
    """The same few captchas over and over: by heart."""
    trainee = trainee_of(learning_rate=1e-2, average=0.5)
    trainee.judge = CaptchaJudge(Drawn([style()], height=24, count=8))
    before = trainee.score()["exact"]
    for number in range(100):
        trainee.step(0, number / 100)
    after = trainee.score()
    assert before < 0.4
    assert after["exact"] > 0.9, after
    assert after["loss"] < 0.5


def test_places_show_the_way():
    """Without them the first steps teach to say nothing."""

    def exact(places):
        trainee = trainee_of(learning_rate=1e-2, average=0.9, places=places, seed=3)
        for number in range(70):
            trainee.step(number, number / 120)
        return trainee.score()["exact"]

    assert exact(1.0) > exact(0.0) + 0.2


def test_places_leave_in_time():
    trainee = trainee_of(judged=False, places=0.5)
    early, later, late = (trainee.step(0, progress) for progress in (0.0, 0.4, 0.5))
    assert set(early) == {"text", "frames", "rate"}
    assert later["frames"] < 0.5 * early["frames"]
    assert "frames" not in late


@pytest.mark.parametrize("cut", [3, 7])
def test_resumed_is_the_same_bit_for_bit(tmp_path, cut):
    whole = trainee_of(judged=False)
    fit(whole, Limits(steps=10), run=RunFolder.new(tmp_path / "whole", {}), on_step=lambda *_: None)
    # A run of `cut` steps of ten: the schedule is that of ten.
    run = RunFolder.new(tmp_path / "two", {})
    first = trainee_of(judged=False)
    for number in range(cut):
        first.step(number, number / 10)
    state = {"step": cut, "scored": cut, "worse": 0, "calmed": 0, "seconds": 0.0, "best": float("-inf")}
    run.save_checkpoint(LAST, {**state, "trainee": first.state()})
    second = trainee_of(judged=False, seed=0)
    fit(second, Limits(steps=10), run=run, on_step=lambda *_: None)
    for name, value in whole.network.state_dict().items():
        assert (value == second.network.state_dict()[name]).all(), name
    assert (tmp_path / "whole" / MODEL).read_bytes() == (tmp_path / "two" / MODEL).read_bytes()


def test_what_it_leaves_reads_the_same(tmp_path):
    trainee = trainee_of()
    for number in range(5):
        trainee.step(number, number / 60)
    save_tensors(tmp_path / "m.safetensors", *trainee.model())
    reader = load_reader(WeightsFile("m", tmp_path / "m.safetensors", "", "captcha-reader", "none", ""), CPU)
    assert reader.alphabet == trainee.alphabet
    image = Drawn([style(2)], height=24).at(range(6), "7AX").image
    ours, theirs = trainee.reader().logits(image), reader.logits(image)
    assert torch.allclose(ours, theirs, atol=0.02)  # halves


def test_bf16_learns_too():
    trainee = trainee_of(device=BF16, judged=False)
    losses = [trainee.step(number, number / 60)["text"] for number in range(10)]
    assert losses[-1] < losses[0]
    assert all(value.dtype == torch.float32 for value in trainee.network.parameters())


def test_a_step_on_another_device(monkeypatch):
    """Where nothing is computed: a tensor that was left on the CPU would be refused."""
    trainee = trainee_of(device=META, judged=False)
    seen = []
    monkeypatch.setattr(trainee, "_losses", lambda batch, progress: seen.append(batch) or {})
    trainee.network.heads(trainee.network.frames(torch.zeros(2, 1, 24, 48, device="meta")))
    assert all(each.device.type == "meta" for each in trainee.network.parameters())


def test_the_judge_shows_what_is_read_wrongly():
    trainee = trainee_of()
    score = trainee.score()
    (name,) = trainee.samples()
    assert name == "wrong"
    assert 0 <= score["exact"] < 1 and score["loss"] > 0
    wrong = dict(trainee.judge.wrong)
    assert all(len(told.partition(": ")[0]) == 2 for told in wrong)


def test_a_judge_of_one_that_reads_all_shows_nothing():
    class Sees(Reader):
        def logits(self, image):
            found = torch.full((len(image), 6, 4), -30.0)
            found[..., 0] = 0
            for row, text in zip(found, self.texts, strict=True):
                for frame, each in zip((1, 3), text, strict=True):
                    row[frame, each] = 30
            return found

    judged = Drawn([style(1)], height=24, count=24)
    reader = Sees(None, "7AX")
    object.__setattr__(reader, "texts", judged.at(range(24), "7AX").texts)
    judge = CaptchaJudge(judged)
    assert judge(reader)["exact"] == 1
    assert judge.samples() == {}


def test_new_characters_are_added_behind(tmp_path):
    trainee = trainee_of(judged=False)
    start = trainee.reader()
    network, alphabet = network_to_train("Xa#7", TrainCaptchaOptions(start="x"), start)
    assert alphabet == "7AXa#" and network.classes == 6
    for name in ("head.weight", "early.bias"):
        old, new = start.network.state_dict()[name], network.state_dict()[name]
        assert (new[:4] == old).all()
        assert (new[4] == old[2]).all()  # a begins as A does
    assert all(each.requires_grad for each in network.parameters())
    assert shape_of(network) == shape_of(start.network)


def test_an_alphabet_that_is_known_stays():
    start = trainee_of(judged=False).reader()
    network, alphabet = network_to_train("7", TrainCaptchaOptions(start="x"), start)
    assert (alphabet, network.classes) == ("7AX", 4)
    assert network is not start.network


def test_labelled_captchas_are_enough():
    """Nothing is known of places there."""
    drawn = style()
    items = [
        CaptchaItem(str(n), (captcha := drawn.draw(n)).text, lambda pixels=captcha.pixels: pixels)
        for n in range(16)
    ]
    examples = Labelled(items, height=24, shake=1.0)
    examples.check()
    options = TrainCaptchaOptions(batch=8, height=24, hidden=16, learning_rate=1e-2)
    network, alphabet = network_to_train(examples.alphabet, options, None)
    trainee = CaptchaTrainee(examples, alphabet, options, network=network, device=CPU)
    losses = [trainee.step(number, number / 60) for number in range(12)]
    assert "frames" not in losses[0]
    assert np.mean([each["text"] for each in losses[-3:]]) < 0.8 * losses[0]["text"]


def test_the_metadata_of_a_model():
    tensors, metadata = trainee_of(judged=False).model()
    assert json.loads(metadata["captcha"]) == {"alphabet": "7AX", "height": 24}
    assert metadata["network"] == "captcha-reader"
    assert all(each.dtype == torch.float16 for each in tensors.values())
