"""Slots of keys and values: written, grown, copied, masked."""

import torch

from tunesmith.models.cache import STEP, Cache, Sizes, Step

SIZES = Sizes(layers=2, heads=3, width=4, dtype=torch.float32, device=torch.device("cpu"))


def filled(slots: int, places: int) -> Cache:
    cache = Cache(SIZES, slots)
    cache.make_room(places)
    cache.keys.copy_(torch.arange(cache.keys.numel()).view_as(cache.keys))
    cache.values.copy_(-cache.keys)
    return cache


def test_it_grows_by_half_and_keeps_what_it_has() -> None:
    cache = filled(2, 5)
    assert cache.places == STEP
    before = cache.keys.clone()
    cache.make_room(STEP + 1)
    assert cache.places == 2 * STEP and torch.equal(cache.keys[:, :, :, :STEP], before)
    assert cache.keys[:, :, :, STEP:].eq(0).all()
    cache.make_room(3)
    assert cache.places == 2 * STEP


def test_a_step_writes_one_place_of_each_row_and_shows_what_stands_before_it() -> None:
    cache = filled(3, 40)
    lengths = torch.tensor([0, 31])
    step = Step(cache, lengths)
    before, k = cache.keys.clone(), torch.randn(2, 3, 4)
    keys, values = step.write(1, k, -k)
    assert keys.shape == (2, 3, STEP, 4) and torch.equal(keys, -values)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(keys[row, :, length], k[row])
        before[1, row, :, length] = k[row]
    assert torch.equal(cache.keys, before)
    assert step.mask(None)[:, 0, 0].eq(0).sum(1).tolist() == [1, 32]
    assert step.mask(5)[:, 0, 0].eq(0).sum(1).tolist() == [1, 5]
    assert step.mask(5)[1, 0, 0, 27:].eq(0).all()


def test_places_are_put_spread_and_copied() -> None:
    cache = filled(3, 8)
    k = torch.randn(2, 3, 4)
    cache.put(0, torch.tensor([1, 2]), torch.tensor([4, 0]), k, 2 * k)
    assert torch.equal(cache.keys[0, 1, :, 4], k[0]) and torch.equal(cache.values[0, 2, :, 0], 2 * k[1])
    beginning = torch.randn(5, 4, 3, 4)  # (N, 2 L, K, D)
    cache.spread([0, 2], beginning)
    assert torch.equal(cache.values[1, 2, :, :5], beginning[:, 3].transpose(0, 1))
    before = cache.keys.clone()
    cache.copy(2, [1, 2], 5)
    assert torch.equal(cache.keys[:, 1, :, :5], before[:, 2, :, :5])
    assert torch.equal(cache.keys[:, 1, :, 5:], before[:, 1, :, 5:]) and torch.equal(cache.keys[:, 2], before[:, 2])
