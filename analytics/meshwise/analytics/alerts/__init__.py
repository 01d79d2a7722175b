"""Alerts on burning error budgets, and the webhooks that tell people.

lifecycle   pure state machine: pending → firing → resolved, one alert per objective and severity
summary     pure: the sentence an alert tells
cause       pure: which anomalous edge below a service is the likeliest culprit
payload     pure: changes → Alertmanager v4 documents with the likely cause and the open proposal
outbox      durable, bounded queue of documents to deliver
sender      one delivery: signed, timed, never to an address it was not allowed to reach
"""
