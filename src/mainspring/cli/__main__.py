"""`python -m mainspring.cli` is the program `mainspring`."""

from mainspring.cli.main import run

if __name__ == "__main__":
    run()
