"""Selecting a direction: by its name in any case, or the only one."""

from ganforge import InputError, Saved


def pick_direction(saved: Saved, wanted: str | None, *, translating: bool) -> str:
    """Return the direction to translate, or to draw.

    Args:
        saved: what was trained.
        wanted: its name, in any case; None for the only one.
        translating: whether to translate or to draw.

    Raises:
        InputError: there is no such direction, or there are several.
    """
    outline = saved.outline
    if wanted is not None:
        alike = [name for name in outline.scheme.wirings if name.casefold() == wanted.casefold()]
        name = alike[0] if len(alike) == 1 else wanted
        if outline.translates(name) != translating:
            raise InputError(
                f"the direction {name} translates nothing, it draws: use `ganforge draw`"
                if translating
                else f"the direction {name} translates samples of another domain: use `ganforge translate`"
            )
        return name
    fitting = [name for name in saved.directions if outline.translates(name) == translating]
    if len(fitting) == 1:
        return fitting[0]
    others = ", ".join(saved.directions)
    if fitting:
        does = "translates" if translating else "draws"
        raise InputError(f"this run {does} in several directions: add --direction with one of {', '.join(fitting)}")
    if not others:
        what = f"the network {saved.weights.head.network} of '{saved.weights.first}'"
        raise InputError(f"no direction can be built from {what} and the files beside it")
    if translating:
        raise InputError(f"this run draws ({others}) and translates nothing: use `ganforge draw`")
    raise InputError(f"this run translates ({others}) and needs source samples: use `ganforge translate`")
