"""Control as the mesh's certificate authority.

``authority``  the key and certificate of the authority, on disk; signs leaves
``requests``   reads signing requests and proofs of possession: refuses the weak, the large and the forged
``joining``    tokens given out and taken once; first certificates and renewals, on the audit trail

A certificate names exactly one service, ``spiffe://<trust domain>/<service>``. The name comes from the join token, or
from the certificate that is renewed; whatever a signing request asks for is not read.
"""
