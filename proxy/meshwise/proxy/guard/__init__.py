"""What the inbound side lets through to its application: how often, and how much at once.

``bucket`` bounds the rate, ``concurrency`` what is under way, by a fixed number or one that it learns from latency;
``limiter`` puts together what one policy's ``limit`` says. All of it is pure: time is an argument.
"""
