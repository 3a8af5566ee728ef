"""Recurrent cells for language models on any text file: DARTS's recurrent search (arXiv:1806.09055)."""
