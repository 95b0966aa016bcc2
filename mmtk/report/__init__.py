"""Figures, tables and pages made from run directories; called, it is the workflow ``mmtk.report(…)``."""

from mmtk.callable_module import make_callable

make_callable(__name__)
