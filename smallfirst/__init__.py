"""smallfirst: every query goes to the smallest language model that will answer it well.

This file knows the version and nothing else, so that `import smallfirst` costs nothing.
"""

__version__ = "0.1.0"
