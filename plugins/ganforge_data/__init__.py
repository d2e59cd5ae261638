"""Data sets: the toy mixtures, side-by-side pairs, folders of pictures."""

from ganforge import Register, hookimpl


@hookimpl
def ganforge_register(register: Register) -> None:
    """Register mixture, edges2photo and folders."""
    from ganforge_data import edges2photo, folders, mixture

    register.dataset("mixture", mixture.Mixture)
    register.dataset("edges2photo", edges2photo.Edges2Photo)
    register.dataset("folders", folders.Folders)
