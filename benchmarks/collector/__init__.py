"""How fast spans get from a sender into the tables, what an outage costs, and whether anything is lost on the way.

``spans``          realistic requests, different every time, cheap to make
``sender``         the process that sends them over OTLP/HTTP and times the answers
``python_decode``  the baseline: the same door, decoding in Python, inserting columns
``system``         store and collector as a user starts them, each on a core of its own
``measure``        the measurements, each a list of rows
``report``         figures, tables and plots from rows
"""
