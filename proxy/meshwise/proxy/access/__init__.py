"""Who may call the application: what a token proves, what the rules say of it.

``keys``    an issuer's published keys, and which algorithms each may be used with
``tokens``  a token's signature, issuer, audience and times
``source``  where keys come from, and when they are fetched again
``guard``   the decision for one request, counted

Documents are ``contracts.access``.
"""
