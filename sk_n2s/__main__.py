"""Run the command line: ``python -m sk_n2s``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
