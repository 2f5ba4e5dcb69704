import numpy as np

from imgtool.data.order import seen_in


def test_each_once_before_any_comes_again():
    steps = [[index for index, _ in seen_in(step, 2, 5, seed=1)] for step in range(5)]
    seen = [index for step in steps for index in step]
    assert sorted(seen[:5]) == sorted(seen[5:]) == list(range(5))
    assert seen[:5] != seen[5:]


def test_a_step_depends_on_the_seed_and_its_number_alone():
    def told(step, seed):
        return [(index, random.random()) for index, random in seen_in(step, 3, 4, seed=seed)]

    assert told(7, 1) == told(7, 1)
    assert told(7, 1) != told(7, 2)
    numbers = [number for step in (0, 1) for _, number in told(step, 1)]
    assert len(np.unique(numbers)) == 6  # an example that comes again has others
