"""``mmtk`` and ``python -m mmtk``: the command as a process of its own."""

from mmtk.cli.main import main
from mmtk.io.process_end import ended_at_once


def command() -> None:
    """Run the command, and end its process."""
    with ended_at_once():
        main()


if __name__ == "__main__":
    command()
