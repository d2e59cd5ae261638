"""DistanceGAN: a translation that preserves distances (Benaim & Wolf 2017, arXiv 1706.00826)."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register the distance loss."""
    from ganforge_distancegan.distance import Distance

    register.loss("distance", Distance, precision="fp32", whole=True)  # distances are sums of many small numbers
