"""`python -m ganforge`: the same as the command `ganforge`."""

from ganforge.cli import main

main()
