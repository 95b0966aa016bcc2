"""``python -m mmtk`` is the ``mmtk`` command."""

from mmtk.cli.main import main

if __name__ == "__main__":
    main()
