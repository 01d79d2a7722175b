"""Alerts on burning error budgets, and the webhooks that tell people.

lifecycle   pure state machine: pending → firing → resolved, one alert per objective and severity
summary     pure: the sentence an alert tells
cause       pure: which anomalous edge below a service is the likeliest culprit
silences    silences and maintenance windows: what keeps an alert quiet
groups      pure: changes → groups of alerts, per receiver
payload     pure: a group → Alertmanager's documents, with the likely cause and the open proposal
pagerduty   pure: an alert → an event of PagerDuty
slack       pure: a group → a message of Slack
cloudevents pure: a group → a CloudEvent
template    pure: an alert → a document of the receiver's own shape
messages    what one receiver is sent, in the form it understands
outbox      durable, bounded queue of documents to deliver
courier     carries what is queued to its receivers
sender      one delivery: signed, timed, never to an address it was not allowed to reach
"""
