"""The library behind Torchbook: data, training, plotting, widgets, exercises, grading, site.

No deep learning lives here. A chapter builds its subject in the open.
"""

__version__ = "0.1.0"
