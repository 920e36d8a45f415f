"""Which stated accuracies are doubted."""

import pytest

from edge.models.accuracy import best_published, is_doubtful
from edge.models.catalogue import load_catalogue


def test_between_the_known_networks_it_rises() -> None:
    sizes = [100_000, 270_000, 500_000, 1_300_000, 5_000_000, 25_000_000, 140_000_000, 2_000_000_000]
    found = [best_published(size) for size in sizes]
    assert found == sorted(found)
    assert best_published(270_000) == best_published(1) == 0.478
    assert best_published(1_330_000) == pytest.approx(0.719)
    assert best_published(2_000_000_000) == 0.901


@pytest.mark.parametrize(
    ("top1", "parameters"),
    [
        # published, of PyTorch, Gluon and TensorFlow
        (0.5496, 1_235_000),  # SqueezeNet 1.1
        (0.6307, 1_300_000),  # MobileNet 0.5
        (0.72, 3_500_000),  # MobileNet v2
        (0.776, 6_090_000),  # EfficientNet-Lite2
        (0.7949, 23_900_000),  # Inception v3
        (0.7339, 138_400_000),  # VGG-16
        (0.8080, 60_400_000),  # ResNet-152
        (0.8606, 43_000_000),  # EfficientNet-B6, noisy student
    ],
)
def test_published_accuracies_are_believed(top1: float, parameters: int) -> None:
    assert not is_doubtful(top1, parameters, labels=1000)


def test_the_catalogues_own_are_believed() -> None:
    for entry in load_catalogue([]).values():
        assert not is_doubtful(entry.top1, entry.parameters, labels=1000), entry.name


def test_that_of_another_network_is_doubted() -> None:
    assert is_doubtful(0.7755, 1_300_000, labels=1000)
    assert is_doubtful(0.7755, 1_235_000, labels=1001)
    assert is_doubtful(0.95, 60_000_000, labels=1000)
    # ten kinds of things are told apart by a small network too; and what is not stated is not doubted
    assert not is_doubtful(0.95, 1_300_000, labels=10)
    assert not is_doubtful(None, 1_300_000, labels=1000)
