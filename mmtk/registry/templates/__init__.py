"""Templates of ``mmtk plugins new``: one small working component per kind, and the package around it.

Every module here is a real one, linted and type-checked with the rest; its class is called Example and gets
the author's name.
"""
