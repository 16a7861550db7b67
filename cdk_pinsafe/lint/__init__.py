"""``pinsafe lint``: finds what pins a session of RDS Proxy in a project's SQL, programs and configuration.

:mod:`.run` finds the files (:mod:`.discovery`, :mod:`.configuration`), :mod:`.linter` checks one file,
:mod:`.text_report` and :mod:`.formats` print the findings. :mod:`cdk_pinsafe.pinning` decides what pins; this package
finds the SQL in files.
"""
