"""One step of HED training, and how it is scored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtool.data.augment import inside, random_placement, sampled, sampling_grid
from imgtool.data.boundaries import read_boundaries
from imgtool.data.edge_pairs import EdgePair
from imgtool.data.order import seen_in
from imgtool.errors import WeightsError
from imgtool.imaging.levels import levels
from imgtool.imaging.picture import Picture
from imgtool.imaging.thin import skeleton
from imgtool.losses.edges import OUTSIDE, balanced_cross_entropy, soft_cross_entropy
from imgtool.metrics.edges import edge_counts, edge_thresholds, summarise
from imgtool.nn.hed import BLOCKS, HED
from imgtool.options.edges import EdgesOptions, TrainEdgesOptions
from imgtool.runtime.checkpoints import described, load_into, load_tensors
from imgtool.runtime.device import Device
from imgtool.runtime.registry import WeightsFile
from imgtool.tasks.edges import edges
from imgtool.tasks.load import for_inference, hed_of, require_network
from imgtool.tasks.score_edges import thinned
from imgtool.training.average import Averaged, MovingAverage, decayed
from imgtool.training.schedules import warm_cosine

# A teacher's map of each pair, (H, W) of 0 to 255, by the photo's name.
TeacherMaps = Mapping[str, NDArray[np.uint8]]

JUDGED = 25  # pictures: enough to tell two networks apart, few enough to be looked at often
JUDGED_THRESHOLDS = 33  # the benchmark has 99; the best F moves by less than .001
SHOWN = 4  # of them, as samples


class EdgesJudge:
    """ODS of a network on pictures that it is not trained on, by the protocol of `imgtool score edges`.

    Args:
        pairs: the pictures to choose from; some, evenly spaced, are judged.
        device: where the network runs.
    """

    def __init__(self, pairs: Sequence[EdgePair], device: Device) -> None:
        chosen = np.linspace(0, len(pairs) - 1, min(JUDGED, len(pairs))).round().astype(int)
        self.pairs, self.device = [pairs[index] for index in chosen], device
        self.maps: dict[str, NDArray[np.float32]] = {}

    def __call__(self, network: HED) -> dict[str, float]:
        """ods, ois and ap."""
        network = for_inference(network, self.device)
        counts, thresholds = [], edge_thresholds(JUDGED_THRESHOLDS)
        for pair in self.pairs:
            seen = edges(pair.read()[0], EdgesOptions(), network=network).maps["average"]
            self.maps[pair.name] = seen
            truth = read_boundaries(pair.truth)
            counts.append(edge_counts(thinned(seen), truth, thresholds, skeleton=skeleton))
        scores = summarise(counts, thresholds)
        return {"ods": scores.ods, "ois": scores.ois, "ap": scores.ap}

    def samples(self) -> dict[str, Picture]:
        """Photos beside the newest maps of them."""
        return {
            pair.name: Picture(np.hstack([pair.read()[0], Picture.gray(levels(self.maps[pair.name])).pixels]))
            for pair in self.pairs[:SHOWN]
            if pair.name in self.maps
        }


class EdgesTrainee(Averaged[HED]):
    """HED on its way: see `imgtool.training.loop.Trainee`.

    Args:
        pairs: to train on.
        options: see `TrainEdgesOptions`.
        network: with the weights it starts from; moved to the device.
        device: where it is trained; in bf16 the features are halved by autocast, the weights stay fp32.
        teacher: maps to imitate; empty for none.
        judge: what scores it; None for none.
    """

    def __init__(
        self,
        pairs: Sequence[EdgePair],
        options: TrainEdgesOptions,
        *,
        network: HED,
        device: Device,
        teacher: TeacherMaps,
        judge: EdgesJudge | None = None,
    ) -> None:
        self.pairs, self.options, self.device = pairs, options, device
        self.teacher, self.judge = teacher, judge
        self.network = device.placed(network).train()
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not _frozen(name, options.freeze))
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.99))
        self.average = MovingAverage(self.network, options.average)

    def _groups(self) -> list[dict[str, Any]]:
        """Blocks, and what reads them, with a rate of their own."""
        trained = [(name, each) for name, each in self.network.named_parameters() if each.requires_grad]
        heads = ("side", "fuse", "lateral", "merge")
        groups = []
        for is_head, rate in ((False, 1.0), (True, self.options.side_rate)):
            members = [each for name, each in trained if name.startswith(heads) == is_head]
            groups += [{**group, "factor": rate} for group in decayed(members, self.options.weight_decay)]
        return [group for group in groups if group["params"]]

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch, one step; which crops are in it depends on the seed and the number alone."""
        rate = self.options.learning_rate * warm_cosine(progress)
        image, consensus, imitated = self.batch(number)
        with self.device.autocast():
            logits = self.network(image)
        losses = {
            "annotators": balanced_cross_entropy(
                logits,
                consensus,
                threshold=self.options.threshold,
                negative_weight=self.options.negative_weight,
            ).sum()
        }
        if imitated is not None:
            counted = (consensus != OUTSIDE).float()
            # Imitation first, then more and more of what people drew: the teacher is not always right.
            weight = self.options.teacher_weight * (1 - progress)
            losses["teacher"] = weight * soft_cross_entropy(logits, imitated, counted).sum()
        self.descend(torch.stack(tuple(losses.values())).sum(), rate, number)
        return {name: float(value.detach()) for name, value in losses.items()} | {"rate": rate}

    def batch(self, number: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """The crops of one step: images (N, 3, S, S), consensus and the teacher's maps (N, 1, S, S)."""
        seen = seen_in(number, self.options.batch, len(self.pairs), seed=self.options.seed)
        crops = [self._crop(self.pairs[index], random) for index, random in seen]
        images, consensus, imitated = zip(*crops, strict=True)
        device = self.device.torch
        maps = torch.cat(imitated).to(device) if self.teacher else None
        return torch.cat(images).to(device), torch.cat(consensus).to(device), maps

    def _crop(self, pair: EdgePair, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One crop of a pair: image, consensus with `OUTSIDE` where nothing counts, teacher's map."""
        options = self.options
        if random.random() < options.flat:
            return _flat_crop(options.crop, random)
        pixels, consensus = pair.read()
        size = (pixels.shape[0], pixels.shape[1])
        placement = random_placement(
            size, options.crop, angles=options.angles, scales=options.crop_scales, random=random
        )
        grid = sampling_grid(placement, size, options.crop)
        counted = inside(grid)
        border = options.border
        frame = torch.zeros_like(counted)
        frame[..., border : options.crop - border, border : options.crop - border] = True
        image = sampled(_planes(pixels), grid, mode="bilinear")
        # Thin lines keep their share of annotators only by the nearest pixel.
        truth = sampled(_planes(consensus), grid, mode="nearest")
        known = self.teacher.get(pair.name)
        imitated = truth if known is None else sampled(_planes(known), grid, mode="bilinear")
        return image, torch.where(counted & frame, truth, OUTSIDE), imitated

    def inference_network(self) -> HED:
        """The averaged network as `edges` uses it."""
        return self.average.network.folded()

    def score(self) -> Mapping[str, float]:
        """What the judge says of it."""
        return {} if self.judge is None else self.judge(self.inference_network())

    def samples(self) -> Mapping[str, Picture]:
        """What the judge saw last."""
        return {} if self.judge is None else self.judge.samples()

    def model(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The averaged weights, in halves: rounding them changes no edge."""
        network = self.inference_network()
        return described(network, "hed", preprocessing=network.preprocessing)


def network_to_train(options: TrainEdgesOptions, weights: WeightsFile | None) -> HED:
    """The network of the options, with its start's weights if it has any.

    A start is trained on without the displacement that `hed` was trained with. A student takes those of its layers
    that have the shape of its own.

    Raises:
        WeightsError: the weights do not fit.
    """
    if weights is None:
        return new_student(options)
    tensors = load_tensors(weights)
    if options.student:
        return _started_student(options, tensors, weights)
    if weights.network == "hed":
        displaced = replace(weights, preprocessing="caffe") if weights.preprocessing == "hed" else weights
        return hed_of(tensors, displaced)
    require_network(weights, "hed", "vgg16")
    network = HED(preprocessing=weights.preprocessing)
    for module in (network.get_submodule(f"side{block}") for block in range(1, BLOCKS + 1)):
        nn.init.zeros_(module.get_parameter("weight"))
        nn.init.zeros_(module.get_parameter("bias"))
    nn.init.constant_(network.fuse.weight, 1 / BLOCKS)
    nn.init.zeros_(network.fuse.get_parameter("bias"))
    own = network.state_dict()
    blocks = {name: tensor for name, tensor in tensors.items() if name.startswith("conv") and name in own}
    load_into(network, own | blocks, name=weights.name)
    return network


def shape_of(network: HED) -> dict[str, Any]:
    """The arguments of `HED` that make a network of this shape, as JSON can hold them."""
    return {
        "widths": list(network.widths),
        "depths": list(network.depths),
        "decoder": network.decoder,
        "norm": hasattr(network, "norm1_1"),
        "preprocessing": network.preprocessing,
        "cell": network.cell,
    }


def _started_student(options: TrainEdgesOptions, tensors: Mapping[str, Tensor], weights: WeightsFile) -> HED:
    """A student that begins with what it shares with others' weights, and like them has no normalisation."""
    donor = hed_of(tensors, weights)
    network = new_student(options, norm=False, preprocessing=donor.preprocessing)
    own = network.state_dict()
    shared = {name: each for name, each in tensors.items() if name in own and own[name].shape == each.shape}
    if not any(name.startswith("conv") for name in shared):
        raise WeightsError(f"{weights.name} has no convolution of the shape of a student's")
    network.load_state_dict(own | shared)
    return network


def new_student(options: TrainEdgesOptions, *, norm: bool = True, preprocessing: str = "torchvision") -> HED:
    """A network with random weights (He et al. 2015), whose sides begin by drawing few edges."""
    network = HED(
        options.widths,
        options.depths,
        decoder=options.decoder,
        norm=norm,
        preprocessing=preprocessing,
        cell=options.cell,
    )
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if name.startswith("side") and isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
    nn.init.constant_(network.fuse.weight, 1 / BLOCKS)
    return network


def _flat_crop(side: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A crop of one colour, and that there is no edge in it."""
    color = torch.from_numpy(random.random((1, 3, 1, 1), np.float32))
    nothing = torch.zeros(1, 1, side, side)
    return color.expand(1, 3, side, side), nothing, nothing


def _frozen(name: str, blocks: int) -> bool:
    """Whether a parameter belongs to one of the first blocks: "conv2_1.weight"."""
    return name.startswith("conv") and int(name[4]) <= blocks


def _planes(values: NDArray[np.uint8]) -> Tensor:
    """(H, W) or (H, W, C) of bytes as (1, C, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1)[None])
    return torch.from_numpy(planes).float() / 255
