"""`edge models ...`: one module for each group of commands."""

from edge.cli.models.calibrate import calibrate
from edge.cli.models.check import check
from edge.cli.models.choosing import choose, measure
from edge.cli.models.installing import add, fetch, remove, verify
from edge.cli.models.listing import list_models
from edge.cli.models.quantize import quantize

__all__ = ["add", "calibrate", "check", "choose", "fetch", "list_models", "measure", "quantize", "remove", "verify"]
