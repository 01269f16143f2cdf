"""The objectives that ship. Each is a template for your own.

A folder `objectives` of your own, beside a sweep file or in the working directory, is part of this package: its modules
are found as `objectives.NAME`, before those of that name that ship.
"""

import pkgutil
from pathlib import Path

_shipped = str(Path(__file__).parent)
_found: list[str] = list(pkgutil.extend_path([], __name__))
# Another copy of this platform is no folder of yours.
__path__ = [place for place in _found if not Path(place).with_name("hpo").joinpath("__init__.py").exists()]
__path__ = [*(place for place in __path__ if place != _shipped), _shipped]
