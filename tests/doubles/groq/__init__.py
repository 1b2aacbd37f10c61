"""A program that stands in for Groq: `python -m tests.doubles.groq --port 0`.

The wire format is Groq's; what an answer is like, and how it fails, is chosen per request by a directive in the last
user message (`directives.py`), or beforehand over the control API (`tests.doubles.groq_control`).
"""
