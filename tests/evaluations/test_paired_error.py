"""Errors of pairs."""

import torch

from ganforge_evaluations.paired_error import measure


def test_pictures_smaller_than_the_window_have_no_ssim():
    truth = torch.rand(2, 3, 8, 11)
    assert measure(truth, truth) == {"l1": 0.0, "psnr": 100.0}
    assert measure(truth.mT, truth.mT).keys() == {"l1", "psnr"}
    assert measure(torch.rand(1, 1, 11, 11), torch.rand(1, 1, 11, 11)).keys() == {"l1", "psnr", "ssim"}
