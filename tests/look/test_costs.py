"""What `ganforge show` says of a network's size and arithmetic."""

import json

import pytest


def costs(ganforge, *words):
    result = ganforge("show", *words, "--json")
    assert result.status == 0, result.err
    return {row["size"]: (row["parameters"], row["gflop"]) for row in json.loads(result.out)["costs"]}


def test_a_generators_parameters_and_arithmetic_are_counted_at_three_sizes(ganforge):
    found = costs(ganforge, "generator", "resnet")
    assert list(found) == ["64x64", "128x128", "256x256"]
    # Two FLOP for each multiply-add at 256x256, by hand: 7x7 at both ends, two halvings and two doublings, 18 in blocks.
    ends, steps, blocks = 2 * 3 * 64 * 49 * 256**2, 4 * 128 * 256 * 9 * 64**2, 18 * 256 * 256 * 9 * 64**2
    assert found["256x256"] == (11_378_179, pytest.approx(2 * (ends + steps + blocks) / 1e9))
    assert "99.1" in ganforge("show", "generator", "resnet").out


def test_settings_count(ganforge):
    narrow = costs(ganforge, "discriminator", "patch", "--set", "width=32", "--set", "down=antialiased")
    assert narrow["64x64"][0] == 694_241


def test_only_sizes_that_fit_are_counted(ganforge):
    assert list(costs(ganforge, "generator", "unet")) == ["256x256"]
    assert list(costs(ganforge, "generator", "unet", "--set", "levels=7")) == ["128x128", "256x256"]


def test_a_generator_from_noise_is_counted_with_a_hundred_numbers(ganforge):
    hidden = [100 * 512, 512 * 256, 256 * 128, 128 * 64, 64 * 3]
    assert costs(ganforge, "generator", "dcgan")["64x64"][0] == 16 * sum(hidden) + 2 * (512 + 256 + 128 + 64)


def test_what_is_no_network_or_cannot_be_called_with_a_picture_has_no_costs(ganforge, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom ganforge import hookimpl\n"
        "class Labelled(torch.nn.Module):\n"
        "    def __init__(self, source_shape, target_shape): super().__init__()\n"
        "    def forward(self, picture, label): return picture\n"
        "class Broken(torch.nn.Module):\n"
        "    def __init__(self, source_shape, target_shape): super().__init__()\n"
        "    def forward(self, picture): return picture.no_such_thing\n"
        "def needy(generator): return torch.nn.Identity()\n"
        "@hookimpl\ndef ganforge_register(register):\n"
        "    register.generator('labelled', Labelled)\n"
        "    register.generator('broken', Broken)\n"
        "    register.network('needy', needy)\n"
    )
    for words in (("generator", "labelled"), ("generator", "broken"), ("network", "needy"), ("coupling", "gan")):
        assert costs(ganforge, *words, "--plugin", tmp_path / "mine.py") == {}
    assert "gflop" not in ganforge("show", "coupling", "gan", "--plugin", tmp_path / "mine.py").out
