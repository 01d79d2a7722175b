"""What would have happened under another policy: recorded attempts, played again.

    survival   Kaplan–Meier with Greenwood intervals; where the mass of cut-off attempts goes
    attempts   recorded attempts as columns, and the query that loads them
    blocks     attempts grouped by time block and endpoint, so that what failed together stays together
    replay     the vectorised simulation of one policy, with block-bootstrap intervals

Nothing here credits a policy with success at a time no recorded attempt has reached.
"""
