"""Where this package lies. No Linux-only import: the runner needs it on every platform."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
_parent = PACKAGE.parent
# The folder around the package where that is a checkout: it may hold answer keys. None in a usual installation.
CHECKOUT = None if _parent.name in ("site-packages", "dist-packages") else _parent
