"""`python -m ganforge`: the same as the command `ganforge`."""

from ganforge.cli.main import main

main()
