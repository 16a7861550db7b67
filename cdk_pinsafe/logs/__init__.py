"""``pinsafe logs``: reads RDS Proxy's logs and reports what pins, how often, since when, who sends it, and remedies."""
