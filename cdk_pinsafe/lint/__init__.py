"""``pinsafe lint``: what in a project's SQL, programs and configuration pins a session of RDS Proxy.

:mod:`.run` finds the files (:mod:`.discovery`, :mod:`.configuration`), :mod:`.linter` reads one of them,
:mod:`.text_report` and :mod:`.formats` show what was found. What pins is known by :mod:`cdk_pinsafe.pinning`; here is
known where SQL stands in files.
"""
