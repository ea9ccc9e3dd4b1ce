"""A description of the machine on which a figure is measured."""

import os
import platform

from pipeline import resources
from pipeline.tracking import provenance


def machine(*packages: str) -> dict:
    """Cores, load, and versions of Python and of packages; by default the packages that train."""
    packages = packages or ("tensorflow", "keras", "numpy", "scikit-learn")
    return {
        "cores": resources.cores(),
        "processor": platform.machine(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **provenance.versions(*packages),
    }
