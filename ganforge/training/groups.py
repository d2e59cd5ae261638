"""Groups of losses: those that share no value with a graph are differentiated one group after the other.

The gradient of a sum is the sum of the gradients. So one graph is released before the next is built, and a player needs
the memory of its largest group: of one direction of CycleGAN, not of two and their identity losses.
"""

from ganforge.training.player import Player
from ganforge.training.values import Scheme


def groups_of(player: Player, scheme: Scheme) -> list[list[int]]:
    """Divide the losses of a player, given by their index, into as many groups as share no value with a graph."""
    found: list[tuple[list[int], frozenset[tuple[str, ...]]]] = []
    for place, term in enumerate(player.terms):
        keys = scheme.graph(term.view, term.asks, player.name)
        sharing = [group for group in found if group[1] & keys]
        places = [*(other for group in sharing for other in group[0]), place]
        joined = (sorted(places), keys.union(*(others for _, others in sharing)))
        found = [*(group for group in found if group not in sharing), joined]
    return sorted(places for places, _ in found)
