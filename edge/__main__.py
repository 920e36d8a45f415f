"""python -m edge"""

from edge.cli import entry

entry()
