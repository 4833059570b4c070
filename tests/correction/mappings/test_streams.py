"""Rows of a stream: which are held out or sampled, how they are cut into batches, how their moments are gathered."""

from __future__ import annotations

import pytest
import torch

from correction.errors import InvalidInput
from correction.mappings.kernel import Reservoir, nystroem
from correction.mappings.moments import Moments
from correction.mappings.streams import Split, even


def test_a_tenth_is_held_out_and_no_row_is_in_both() -> None:
    rows = torch.arange(4000.0)[:, None]
    split = Split(lambda: zip(rows.split(77), rows.split(77), strict=True), 0, lambda rows: None)
    training, held_out = (torch.cat([t for _, t in part()]) for part in (split.training, split.held_out))
    assert 350 < len(held_out) < 450
    assert torch.equal(torch.cat([training, held_out]).sort(0).values, rows)


def test_a_stream_that_cannot_be_read_again_is_refused() -> None:
    batch = (torch.ones(9, 4), torch.ones(9, 4))
    readings = iter([[batch, batch], [batch]])
    split = Split(lambda: next(readings), 0, lambda rows: None)
    list(split.training())
    with pytest.raises(InvalidInput, match="18 rows at first and 9 when read again"):
        list(split.training())


def test_even_batches_hold_the_same_rows() -> None:
    rows = torch.arange(25.0)[:, None]
    batches = [source for source, _ in even(zip(rows.split(4), rows.split(4), strict=True), 10)]
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert torch.equal(torch.cat(batches), rows)


def test_moments_keep_their_digits_under_a_large_mean() -> None:
    rows = torch.randn(1000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moments = Moments()
    for some in rows.split(10):
        moments.add(some + 1e7, some + 1e7)
    torch.testing.assert_close(moments.gram / 1000, rows.T.cov(correction=0), atol=1e-7, rtol=1e-6)


def test_a_reservoir_samples_the_whole_stream_by_its_seed() -> None:
    def sample(seed: int, batch: int) -> set[float]:
        reservoir = Reservoir(200, seed)
        for some in torch.arange(1000.0)[:, None].split(batch):
            reservoir.add(some)
        assert reservoir.rows is not None
        return set(reservoir.rows[:, 0].tolist())

    assert len(sample(0, 30)) == 200
    assert sample(0, 30) == sample(0, 1000) != sample(1, 30)
    assert 60 < sum(row >= 500 for row in sample(0, 30)) < 140


def test_the_kernels_width_is_the_median_distance_of_its_landmarks() -> None:
    source = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 100.0])
    moments = Moments()
    moments.add(source, source)
    weights = nystroem(moments, source, [(source, source)], strength=1e-3)
    states = ((source - source.mean(0)) / source.std(0, correction=0)).double()
    median = torch.pdist(states).median()
    expected = (-torch.cdist(states, states).square() / (2 * median**2)).exp()
    scaled = (source - weights["center"]) / weights["spread"]
    given = (-torch.cdist(scaled, weights["landmarks"]).square()).exp()
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=0)
