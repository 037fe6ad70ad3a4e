"""The archive that GOT-10k's server takes: a zip whose root holds the folders of the sequences."""

from __future__ import annotations

import zipfile
from pathlib import Path

from onebit.errors import DataError, UsageError
from onebit.files import atomic_write
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.results import read_result

TEST_SEQUENCES = 180
# Any day, but the same one, so that the same results give the same archive.
_DAY = (1980, 1, 1, 0, 0, 0)


def check_submission(data: SequenceSet, archive: Path) -> None:
    """Refuse what no results can make an archive of.

    Raises:
        UsageError: for other data than the test split, or an archive that does not end in .zip.
        DataError: unless all 180 sequences are there.
    """
    if data.layout != "got10k" or data.subset != "test":
        raise UsageError(f"an archive is for GOT-10k's test split, this is {data.name} {data.subset} ({data.layout})")
    if archive.suffix.lower() != ".zip":
        raise UsageError(f"the archive {archive} has to end in .zip")
    if data.missing or len(data) != TEST_SEQUENCES:
        known = f"{len(data)} sequences" + (f", without {data.missing[0]}" if data.missing else "")
        raise DataError(f"{data.root} has {known}; the server takes results of all {TEST_SEQUENCES} of the test split")


def write_submission(data: SequenceSet, folder: Path, archive: Path) -> int:
    """Check a tracker's results on GOT-10k's test split and write them to a zip; returns the number of files in it.

    Each sequence has to have a row of four finite numbers per image, the first of them the given box, and a file of times.
    Nothing is written if anything is wrong.

    Raises:
        UsageError, DataError: as :func:`check_submission`, and naming what is wrong with the results.
    """
    check_submission(data, archive)
    files: list[Path] = []
    for sequence in data.sequences:
        result = read_result(folder, sequence)
        home = folder / sequence.name
        for path, boxes in zip(result.files, result.boxes, strict=True):
            if path.parent != home:
                raise DataError(f"{path} is not where the server looks for it, in a folder {sequence.name}")
            # Three decimals of the given box are written.
            if abs(boxes[0] - sequence.truth[0]).max() > 0.0006:
                raise DataError(f"{path}, line 1: the first box has to be the given one, {sequence.truth[0].tolist()}")
        times = home / f"{sequence.name}_time.txt"
        if not times.is_file():
            raise DataError(f"the file of times {times} is missing; run the tracker again on {sequence.name}")
        files += [*result.files, times]
    with atomic_write(archive) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _DAY)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            packed.writestr(entry, path.read_bytes())
    return len(files)
