"""Published files: found on this machine, or downloaded."""

from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants

from ..errors import WeightsError
from ..files import remembered_sha256
from ..text import log
from .copies import VARIABLE, Copy, Place, download_addresses, search, warn_of_left_out
from .published_file import PublishedFile


def obtained_file(file: PublishedFile) -> Copy:
    """Find the first good copy of a published file on this machine, or download it; log what is left out or slow."""
    search_here = search(file)
    warn_of_left_out(file, search_here.problems)
    if search_here.copy is not None:
        return search_here.copy
    addresses = download_addresses(file)
    if not addresses:
        raise WeightsError(f"{file.title}, a part of clipiqa-pyiqa, is missing or damaged: install the package again.")
    if constants.HF_HUB_OFFLINE:
        raise _not_downloaded(file, ["HF_HUB_OFFLINE is set"])
    failures = list[str]()
    for address in addresses:
        log.warning(f"Downloading {file.title} from {address} …")  # a warning, since a download may take minutes
        try:
            path = _download(file, address)
            return Copy(path, Place.DOWNLOAD, remembered_sha256(path))
        except Exception as error:  # the hub's client raises many kinds of errors; the message below lists all
            failures.append(f"{urlsplit(address).netloc}: {' '.join((str(error) or repr(error)).split())[:200]}")
    raise _not_downloaded(file, failures)


def _download(file: PublishedFile, address: str) -> Path:
    """Download a file from one of its addresses, and return its path."""
    from .download import download_from_hub, download_from_url  # loads the hub's client

    if address not in file.urls:
        return download_from_hub(file)
    return download_from_url(address, file.caches[-1] / address.rpartition("/")[2], file.sha256)


def _not_downloaded(file: PublishedFile, failures: list[str]) -> WeightsError:
    """Return the error that says what to do without a file."""
    from huggingface_hub import hf_hub_url  # loads the hub's client

    address = hf_hub_url(file.hub, file.hub_names[0], revision=file.revision or None) if file.hub else file.urls[0]
    advice = (
        "to try clipiqa, use backbone=mini, the small CLIP in this package, or name a file by clip_weights=PATH"
        if file.backbone
        else "name a file of your own instead"
    )
    return WeightsError(
        f"{file.title} is not on this machine and could not be downloaded ({'; '.join(failures)}): {advice}.\n"
        f"The file is at {address}: save it as {file.caches[-1] / file.names[0]}, or under that name in the folder "
        f"that {VARIABLE} names. Where the hub is blocked, set HF_ENDPOINT to a mirror, such as https://hf-mirror.com.",
        options=("backbone", "clip_weights"),
    )
