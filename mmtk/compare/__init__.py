"""Numbers of other programs as a study; called, it is the workflow ``mmtk.compare(…)``."""

from mmtk.callable_module import make_callable

make_callable(__name__)
