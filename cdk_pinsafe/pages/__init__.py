"""The knowledge of this package for people to read and, as JSON, for programs: pages without an opinion of their own.

::

    pinning      ``pinsafe conditions`` and ``pinsafe clients``
    parameters   ``pinsafe settings``
"""
