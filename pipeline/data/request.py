"""What is asked of a data set's loader, and the places on this machine where data sets lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from profilers.errors import MillisError

ROOT_VARIABLE = "MILLIS_DATA"


class DataError(MillisError):
    """A data set that is not here, or cannot be read or divided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of `load_data`, checked."""

    name: str
    path: Path  # what follows `imagefolder:`
    resolution: int | None
    root: Path | None
    download: bool

    def places(self) -> tuple[Path, ...]:
        """Folders that may hold the data set, first choice first.

        A root that was given is the only place; without one MILLIS_DATA is; without that, the user's data folders and
        those of the system (on Debian /usr/share/datasets).
        """
        given = self._given_root()
        if given is not None:
            return (given,)
        from platformdirs import site_data_dir, user_cache_path, user_data_path

        system = site_data_dir("datasets", multipath=True).split(os.pathsep)
        # Where the variables of the desktop leave them out, Debian's packages are still there.
        usual = [user_cache_path("millis") / "data", user_data_path("datasets"), *map(Path, system)]
        return tuple(dict.fromkeys([*usual, Path("/usr/share/datasets")]))

    def download_place(self) -> Path:
        """The folder that downloads go to: always the first place that is searched."""
        return self.places()[0]

    def missing(self, *, package: str | None = None) -> DataError:
        """The error for a data set that lies in none of the places."""
        searched = ", ".join(map(str, self.places()))
        install = f" or install the package {package} (apt)," if package else ""
        return DataError(
            f"data {self.name!r}: not found in {searched}; add --download,{install} or name its folder by --data-root"
        )

    def failed(self, place: Path, error: Exception) -> DataError:
        """The error for a data set that could not be read from a place or downloaded to it, in one line."""
        return DataError(f"data {self.name!r} in {place}: {' '.join(str(error).split())}")

    def _given_root(self) -> Path | None:
        variable = os.environ.get(ROOT_VARIABLE)
        return self.root or (Path(variable) if variable else None)
