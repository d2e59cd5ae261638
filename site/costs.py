"""Counts what a step of recipes takes: `python site/costs.py "RECIPE... [KEY=VALUE...]" ...` prints JSON.

Each argument gives a list. This runs in its own process, while the site's pages are made.
"""

import json
import sys
from typing import Any

from ganforge import Plugins, cost_of_step, make_dataset
from ganforge.recipe import layers
from ganforge.recipe.resolve import resolve


def main() -> None:
    """Print the costs of all recipes that the arguments name."""
    plugins = Plugins()
    plugins.load_installed()
    json.dump({words: list(costs(words, plugins)) for words in sys.argv[1:]}, sys.stdout)


def costs(words: str, plugins: Plugins) -> list[dict[str, Any]]:
    """Return the cost of each recipe; words with `=` are overrides for all of them."""
    recipes, sets = plugins.recipes(), [word for word in words.split() if "=" in word]
    counted = []
    for name in words.split():
        if "=" not in name:
            plan = resolve(layers.load(recipes[name], sets, recipes), plugins.registry)
            cost = cost_of_step(plan, make_dataset(plan))
            counted.append({"recipe": name, "sets": sets, "batch": plan.train.batch, **cost})
    return counted


if __name__ == "__main__":
    main()
