import numpy as np
import pytest

from trainers.data.permutation import permute


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 255, 1000, 4097])
def test_every_item_has_exactly_one_place(n):
    assert sorted(permute(np.arange(n), n, seed=1, epoch=0)) == list(range(n))


def test_places_asked_for_alone_hold_what_they_hold_together():
    whole = permute(np.arange(1000), 1000, seed=7, epoch=3)
    assert [permute(np.array([place]), 1000, seed=7, epoch=3)[0] for place in (0, 41, 999)] == list(whole[[0, 41, 999]])


def test_seed_and_epoch_each_name_another_order():
    orders = [permute(np.arange(500), 500, seed, epoch) for seed, epoch in ((0, 0), (1, 0), (0, 1), (2**63, 5))]
    for i, one in enumerate(orders):
        for other in orders[i + 1 :]:
            assert (one == other).mean() < 0.05


def test_neighbouring_places_hold_unrelated_items():
    n = 20_000
    items = permute(np.arange(n), n, seed=0, epoch=0)
    assert abs(np.corrcoef(items[:-1], items[1:])[0, 1]) < 0.03
    halves = (items[: n // 2] < n // 2).mean()
    assert abs(halves - 0.5) < 0.02
