"""How does it ship? Parity with PyTorch, bundles that describe and verify themselves."""

from __future__ import annotations

from deploy.errors import BundleError, PackagerError, ParityError
from deploy.packagers import PACKAGERS, pack

__all__ = ["PACKAGERS", "BundleError", "PackagerError", "ParityError", "pack"]
