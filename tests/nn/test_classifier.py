import torch

from imgtool.nn.classifier import Classifier, ClassifierShape


@torch.inference_mode()
def test_scaled_features_tell_the_same_classes():
    torch.manual_seed(0)
    network = Classifier(ClassifierShape(size=8, classes=3, width=4, features=5)).eval()
    image = torch.rand(7, 1, 8, 8)
    features, logits = network.features(image), network(image)
    network.scale_features(3.0)
    torch.testing.assert_close(network.features(image), 3 * features)
    torch.testing.assert_close(network(image), logits)
