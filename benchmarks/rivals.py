"""HED as others run it: PyTorch as every repository has it, OpenCV's dnn and ONNX Runtime with the same network.

All take pixels (H, W, 3) uint8 and give the probabilities (H, W) of the fusion in fp32.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MEAN = np.array((104.00699, 116.66877, 122.67892), np.float32)  # of BGR in 0 to 255
DEPTHS = (2, 2, 3, 3, 3)
CALIBRATION_SIZE = (321, 481)  # of the photos in examples/ by which features in 8 bits are scaled

Detector = Callable[[np.ndarray], np.ndarray]


def load(
    name: str, tensors: dict[str, Tensor], size: tuple[int, int], threads: int, folder: Path
) -> Detector:
    """A rival by name.

    Args:
        name: plain, opencv, onnxruntime or onnxruntime-int8.
        tensors: the weights by the paper's names.
        size: (height, width) of the pictures; graphs are made for one size.
        threads: that it may use.
        folder: for its graphs, which are made when they are not there yet.
    """
    if name == "plain":
        return plain(tensors, threads)
    exact, quantised, graph = (
        folder / f"{which}.onnx" for which in ("hed", "hed-int8", f"{name}-{size[1]}x{size[0]}")
    )
    if not exact.exists():
        write_graph(exact, tensors)
    if name == "onnxruntime-int8" and not quantised.exists():
        quantise(exact, quantised)
    write_sized(quantised if name == "onnxruntime-int8" else exact, graph, size)
    return opencv(graph, threads) if name == "opencv" else onnxruntime(graph, threads)


def plain(tensors: dict[str, Tensor], threads: int) -> Detector:
    """fp32, contiguous, each side stretched over the picture."""
    torch.set_num_threads(threads)

    def convolve(features: Tensor, name: str, padding: int = 0) -> Tensor:
        return functional.conv2d(
            features, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=padding
        )

    @torch.no_grad()
    def detect(pixels: np.ndarray) -> np.ndarray:
        features, sides = torch.from_numpy(blob(pixels)), []
        for block, depth in enumerate(DEPTHS, start=1):
            if block > 1:
                features = functional.max_pool2d(features, 2)
            for index in range(1, depth + 1):
                features = functional.relu(convolve(features, f"conv{block}_{index}", padding=1))
            side = convolve(features, f"side{block}")
            sides.append(functional.interpolate(side, pixels.shape[:2], mode="bilinear", align_corners=False))
        return torch.sigmoid(convolve(torch.cat(sides, 1), "fuse"))[0, 0].numpy()

    return detect


def blob(pixels: np.ndarray) -> np.ndarray:
    """Pixels as the weights expect them: (1, 3, H, W) fp32, BGR without its mean."""
    return np.ascontiguousarray((pixels[..., ::-1] - MEAN).transpose(2, 0, 1)[None])


def write_graph(path: Path, tensors: dict[str, Tensor], size: tuple[int, int] = CALIBRATION_SIZE) -> None:
    """The same network as an ONNX file; made node by node, as torch's exporter needs more packages."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(value.numpy(), name) for name, value in tensors.items()]
    constants.append(numpy_helper.from_array(np.array((1, 1, *size), np.int64), "size"))
    nodes = []

    def add(kind: str, *inputs: str, output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def convolve(features: str, name: str, side: int) -> str:
        kernel = {"kernel_shape": [side] * 2, "pads": [side // 2] * 4}
        return add("Conv", features, f"{name}.weight", f"{name}.bias", output=name, **kernel)

    features, sides = "image", []
    for block, depth in enumerate(DEPTHS, start=1):
        if block > 1:
            features = add("MaxPool", features, output=f"pool{block}", kernel_shape=[2, 2], strides=[2, 2])
        for index in range(1, depth + 1):
            name = f"conv{block}_{index}"
            features = add("Relu", convolve(features, name, 3), output=f"relu{block}_{index}")
        side = convolve(features, f"side{block}", 1)
        modes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        sides.append(add("Resize", side, "", "", "size", output=f"resized{block}", **modes))
    fused = convolve(add("Concat", *sides, output="sides", axis=1), "fuse", 1)
    add("Sigmoid", fused, output="edges")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, *size))
        for name, channels in (("image", 3), ("edges", 1))
    ]
    graph = helper.make_graph(nodes, "hed", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def write_sized(source: Path, target: Path, size: tuple[int, int]) -> None:
    """A graph for pictures of another (height, width)."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    del model.graph.value_info[:]  # sizes in between, as they were
    for end in (*model.graph.input, *model.graph.output):
        for place, value in zip(end.type.tensor_type.shape.dim[2:], size, strict=True):
            place.dim_value = value
    constant = next(value for value in model.graph.initializer if value.name == "size")
    constant.CopyFrom(numpy_helper.from_array(np.array((1, 1, *size), np.int64), "size"))
    onnx.save(model, target)


def opencv(graph: Path, threads: int) -> Detector:
    """OpenCV's dnn."""
    import cv2

    cv2.setNumThreads(threads)
    network = cv2.dnn.readNetFromONNX(str(graph))

    def detect(pixels: np.ndarray) -> np.ndarray:
        network.setInput(blob(pixels))
        return np.array(network.forward()[0, 0])

    return detect


def onnxruntime(graph: Path, threads: int) -> Detector:
    """ONNX Runtime on the processor, all optimisations of graphs on."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    session = InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"image": blob(pixels)})[0][0, 0]


def quantise(graph: Path, small: Path) -> None:
    """Convolutions in 8 bits: weights per channel, features by their extremes over a few photos."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Photos(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = photos(CALIBRATION_SIZE)

        def get_next(self) -> dict[str, np.ndarray] | None:
            found = next(self.left, None)
            return None if found is None else {"image": blob(found)}

    quantize_static(
        graph,
        small,
        Photos(),
        op_types_to_quantize=["Conv", "MaxPool"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def photos(size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The photos of examples/ at a size, (H, W, 3) uint8."""
    from PIL import Image

    paths = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))
    for path in paths:
        with Image.open(path) as image:
            yield np.asarray(image.convert("RGB").resize(size[::-1]))
