import numpy as np

from imgtool.imaging.grid import grid


def test_grid():
    pictures = [np.full((4, 4, 1), 10 * index, np.uint8) for index in range(5)]
    sheet = grid(pictures).pixels
    assert sheet.shape == (2 * 6 - 2, 3 * 6 - 2, 3)
    assert (sheet[6:10, 6:10] == 40).all() and (sheet[:, 4:6] == 255).all()
