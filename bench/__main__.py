"""``python -m bench`` is the command ``benchcast``."""

from bench.cli import main

main()
