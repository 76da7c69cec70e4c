import numpy as np
import pytest
from scipy.special import softmax

from trainers.icl.choice import choose

LOGPROBS = [-6.0, -5.0, -9.0, -5.0]


def test_the_likeliest_option_is_chosen_and_the_first_of_equals():
    choice = choose(LOGPROBS, gold=3)
    assert (choice.predicted, choice.gold, choice.gold_rank, choice.correct) == (1, 3, 1, False)
    first = choose(LOGPROBS, gold=1)
    assert (first.gold_rank, first.correct) == (0, True)
    assert choose(LOGPROBS, gold=2).gold_rank == 3


def test_lengths_divide_and_what_is_likely_by_itself_is_taken_away():
    assert choose(LOGPROBS, gold=0, lengths_C=[6, 2, 3, 2]).predicted == 0
    assert choose(LOGPROBS, gold=0, alone_C=[-6.0, -4.0, -12.0, -4.0]).predicted == 2


@pytest.mark.parametrize("lengths", [None, [2, 3, 4, 5]])
def test_probabilities_are_the_softmax_of_the_scores_however_small(lengths):
    for shift in (0.0, -5000.0):
        found = choose([value + shift for value in LOGPROBS], gold=0, lengths_C=lengths).probability_C
        assert found == pytest.approx(softmax((np.array(LOGPROBS) + shift) / (lengths or 1)))


def test_the_rank_of_the_right_option_is_its_place_in_a_stable_order():
    draw = np.random.default_rng(0)
    for _ in range(200):
        scores = draw.integers(-4, 0, 5).astype(float)
        order = np.argsort(-scores, kind="stable").tolist()
        for gold in range(5):
            choice = choose(scores, gold)
            assert choice.gold_rank == order.index(gold)
            assert choice.correct == (choice.gold_rank == 0)
