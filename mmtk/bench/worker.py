"""Worker of a measurement: ``python -m mmtk.bench.worker MODULE:FUNCTION KEYS`` prints the result as JSON."""

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    print(json.dumps(getattr(import_module(module), function)(**json.loads(sys.argv[2]))), flush=True)
