"""A program that stands in for Tavily: `python -m tests.doubles.tavily --port 0`.

The wire format is Tavily's; what an answer is like, and how it fails, is chosen per request by a directive in the query
(`directives.py`), or beforehand over the control API (`tests.doubles.tavily_control`).
"""
