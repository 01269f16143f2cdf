"""`python -m hpo`: the same as the command `hpo`."""

from hpo.cli.main import main

if __name__ == "__main__":
    main()
