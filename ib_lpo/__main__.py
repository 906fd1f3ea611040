"""`python -m ib_lpo` is the command `ib-lpo`."""

from ib_lpo.cli import main

if __name__ == "__main__":
    main()
