"""Packs on a model hub, through the extra `hub`: upload, and download by a name such as `hub:me/day2night@v1`.

The library's settings apply: `HF_ENDPOINT` is the hub, `HF_HUB_CACHE` the download folder, `HF_TOKEN` or `hf auth
login` the account; `HF_HUB_OFFLINE=1` disables the network.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganforge import UNWRITABLE, InputError, Plugins, RunFailedError, nearest, read_head
from ganforge_share.card import CARD, PREVIEW, RECIPE
from ganforge_share.pack import STATE, WEIGHTS, pack_files

PREFIX = "hub:"
WANTED = [f"*{WEIGHTS}", RECIPE, CARD, PREVIEW, *STATE]  # only these files are downloaded
NAME = re.compile(r"(?P<repository>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
SIGN_IN = "sign in with `hf auth login`, or set HF_TOKEN"


def download(name: str) -> Path:
    """Return the folder of a pack in the library's cache; download what is missing, with progress.

    Args:
        name: `hub:NAME` or `hub:NAME@REVISION`.

    Raises:
        InputError: the extra is not installed, the hub cannot be reached and the pack is not cached, there is no such
            model, or this account has no access.
        RunFailedError: the cache's disk is full, or cannot be written.
    """
    repository, revision = _parsed(name)
    hub = _library()
    with _telling(hub, name):
        folder = hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=WANTED,
            ignore_patterns=["*/*"],
            library_name="ganforge",
            library_version=Plugins.version(),
        )
    if not any(Path(folder).glob(f"*{WEIGHTS}")):
        raise InputError(f"{name} holds no ganforge weights")
    return Path(folder)


def upload(folder: Path, name: str, *, private: bool, warn: Callable[[str], None]) -> str:
    """Upload a pack in one commit, and return its address; delete files of an older pack that it lacks.

    Args:
        folder: a pack; other files in it are not uploaded.
        name: `OWNER/NAME`, or `NAME` for this account; the repository is created if needed.
        private: whether the repository is private.
        warn: called with the hub's warnings about the card.

    Raises:
        InputError: it is not a pack, the extra is not installed, this account may not write there, or the repository
            should be private but is public.
    """
    names = _require_pack(folder)
    repository, revision = _parsed(name)
    if revision:
        raise InputError(f"'{name}': a pack is pushed without a revision")
    hub = _library()
    api = hub.HfApi(library_name="ganforge", library_version=Plugins.version())
    with _telling(hub, name):
        # Without `private`, an existing repository keeps its visibility, and a new one has the account's default.
        url = api.create_repo(repository, private=True if private else None, exist_ok=True)
        if private and not api.model_info(url.repo_id).private:
            raise InputError(f"{url} exists and is public: push to another name, or make it private there")
        there = set(api.list_repo_files(url.repo_id))
        old = [one for one in sorted(there) if one not in names and _is_packed(one)]
        added = [hub.CommitOperationAdd(one, folder / one) for one in names]
        deleted = [hub.CommitOperationDelete(one) for one in old]
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("ignore")  # the library's deprecation warnings
            warnings.simplefilter("always", UserWarning)
            api.create_commit(url.repo_id, [*added, *deleted], commit_message="Upload with ganforge push")
    for one in found:
        warn(" ".join(str(one.message).split()))
    return str(url)


def _is_packed(name: str) -> bool:
    return name in (RECIPE, PREVIEW, *STATE) or ("/" not in name and name.endswith(WEIGHTS))


def _require_pack(folder: Path) -> list[str]:
    """Return the names of a pack's files; raise an InputError if something is missing or weights are invalid."""
    if not folder.is_dir():
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        hint = nearest(folder.name, [one.name for one in beside if one.is_dir()])
        raise InputError(f"no folder '{folder}'" + (f"; {hint}" if hint else ""))
    names = pack_files(folder)
    if not names:
        raise InputError(f"'{folder}' is not a pack; make one with: ganforge pack RUN --out DIR")
    for name in names:
        if name.endswith(WEIGHTS) and name not in STATE:
            read_head(folder / name)
    return names


def _parsed(name: str) -> tuple[str, str | None]:
    """Return repository and revision of a name."""
    found = NAME.fullmatch(name.removeprefix(PREFIX))
    if not found:
        raise InputError(f"'{name}' is not a name on a hub: expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return found["repository"], found["revision"]


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise InputError("this needs the extra 'hub': pip install 'ganforge[hub]'") from error
    return huggingface_hub


@contextmanager
def _telling(hub: Any, name: str) -> Iterator[None]:
    """Turn the library's exceptions into one line that says what to do."""
    errors = hub.errors
    try:
        yield
    except (InputError, RunFailedError):
        raise
    except errors.GatedRepoError as error:
        raise InputError(
            f"{name}: its owner requires your consent first: open its page on the hub, and {SIGN_IN}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f"{name}: no such model, or this account has no access: {SIGN_IN}") from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{name}: the model has no such revision") from error
    except errors.LocalEntryNotFoundError as error:
        raise InputError(f"{name}: the hub cannot be reached, and the model is not in the cache") from error
    except errors.HFValidationError as error:
        raise InputError(f"{name}: {_first_line(error)}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = f"this account may not do that: {SIGN_IN}" if status in (401, 403) else _first_line(error)
        raise InputError(f"{name}: {reason}") from error
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise RunFailedError(f"{name}: '{error.filename}' cannot be written: {error.strerror}") from error
        raise InputError(f"{name}: the hub cannot be reached: {_first_line(error)}") from error
    except Exception as error:  # exceptions of its HTTP library, which differs between versions
        reason = ": ".join(dict.fromkeys(_first_line(one) for one in (error, error.__cause__) if one))
        raise InputError(f"{name}: the hub cannot be reached: {reason}") from error


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
