"""OpenAI's two endpoints, for clients that know nothing of hopfix: what they may send, what is made of it, and how it
is said to them. The model's name is the behaviour; the evidence stands in the extra field `hopfix`.
"""
