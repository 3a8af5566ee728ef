"""The supernet of DARTS's cells, computed fast."""

from pipeline.cell_supernet.network import CellSupernet

__all__ = ["CellSupernet"]
