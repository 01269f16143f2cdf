"""`python -m hpo`: the same as the command `hpo`."""

import os
import sys

if not sys.flags.safe_path and os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
    # `python -m` puts the working directory first: no module in it may take the place of one that is needed here.
    sys.path.append(sys.path.pop(0))

from hpo.cli.main import main  # only now

if __name__ == "__main__":
    main()
