"""Delivery: the unified log to whoever listens. Knows no HTTP and no agents.

``tail`` reads the log, ``window`` finds repeats, ``ring`` holds what is new, a ``feed`` is one team with listeners here
(its ``view`` is the team's state), and a ``cursor`` is one listener's place in it.
"""
