"""Measure what a proxy pins, as a client alone can see it: ``pinsafe probe``.

A session is pinned if its database connection serves nobody else until it disconnects. A client can see the opposite.
In a round, the session and a control session run a `SELECT` each, in random order; then several other clients hold a
transaction each at the same time; and everybody asks which database connection serves it. A session whose connection
serves another client, or that gets another connection itself, is *handed over*, and so it is not pinned: one such round
is proof. That no round shows it is evidence of a pin only if the same session was handed over before the statement, and
the control session still is: :mod:`.verdict` has the test and its error bound.

Each database connection is known by its process id and the microsecond at which it was opened. The probe sends nothing
that is committed, apart from session state, which the proxy discards with the session. Tables that a statement needs
are created in the same transaction, in a schema of their own, and rolled back. So nothing is left behind when the probe
is killed, except for what a pooler leaves behind that passes session state from client to client; therefore the probe
first finds out whether it does, with a parameter that nobody else uses, and then sends nothing that could harm other
clients.

Modules: :mod:`.rows` is the table of what is sent; :mod:`.session` one connection (libpq, non-blocking);
:mod:`.rounds` the rounds; :mod:`.verdict` what they prove; :mod:`.server_facts` what is measured without rounds;
:mod:`.run` the whole; :mod:`.report` its output; :mod:`.command` the command line.
"""
