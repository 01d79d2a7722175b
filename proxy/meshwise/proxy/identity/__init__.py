"""Who this proxy is: its key and certificate, how it got them, and when it gets the next.

``credentials``  key, certificate and authority as one file: read whole or not at all, written whole, 0600
``requests``     signing requests and what proves the right to a renewal
``schedule``     when to renew, when to raise the alarm; pure
``agent``        joins with a token, renews at half life, hands new credentials to the listeners

Needs the extra ``identity``; nothing here is imported while ``proxy.identity`` is off.
"""
