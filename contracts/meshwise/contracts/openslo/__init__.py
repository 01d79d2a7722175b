"""OpenSLO v1 documents: read strictly, put together, and turned into the objectives of ``contracts.slo``.

    metadata    what every document begins with: apiVersion, kind, name, labels
    indicators  SLI and our selectors under ``metricSource.spec``
    alerting    AlertPolicy, AlertCondition, AlertNotificationTarget
    budgeting   windows, rolling or by the calendar, targets and time slices
    objectives  SLO: objectives over one indicator, and composites
    documents   a set of documents: each is read, every reference is followed, every mistake is one line

source: OpenSLO/OpenSLO, README of v1.
"""

from meshwise.contracts.openslo.documents import DocumentSet, Problem, index_documents, read_documents

__all__ = ["DocumentSet", "Problem", "index_documents", "read_documents"]
