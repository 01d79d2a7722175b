"""What would have happened under another policy: recorded attempts, played again.

    survival   Kaplan–Meier with Greenwood intervals; where the mass of cut-off attempts goes
    attempts   recorded attempts as columns, and the query that loads them
    blocks     attempts in order of time, so that what failed together stays together
    load       how much slower the callee answers under more load, where the record shows it
    budget     the retries that the proxies' budgets would have admitted
    play       one policy, played on every recorded request
    simulate   what that gave, with block-bootstrap intervals

Nothing here credits a policy with success at a time no recorded attempt has reached.
"""
