"""The files of a folder that holds a run's results."""

from collections.abc import Iterable, Sequence

from ...checks import FilePath
from ..files.folders import make_folder
from ..results.output import Output
from ..results.storage_options import check_storage


def create_result_files(
    folder: FilePath | None,
    stored: Sequence[str],
    others: Iterable[str],
    inputs: Iterable[str],
    *,
    resume: bool,
    overwrite: bool,
) -> dict[str, Output]:
    """Make a folder of results, and return its files of scores by name; without a folder, there are none.

    Raises ``OutputError`` if a file may not be replaced.

    Args:
        stored: Names of the files of scores.
        others: Names of the other results, which are replaced if the run is continued.
        inputs: Files that are never replaced.
    """
    check_storage(folder, resume, overwrite)
    if folder is None:
        return {}
    # the files of scores are checked first: what they hold tells whether the other files may be replaced
    path = make_folder(folder, stored, overwrite=True)
    files = {name: Output(path / name, "", resume, overwrite, drop_vanished=True) for name in stored}
    is_continued = resume and any(file.earlier_file() for file in files.values())
    make_folder(path, [*others, *files], overwrite=overwrite or is_continued, inputs=inputs)
    return files
