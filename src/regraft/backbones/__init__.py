"""The pretrained networks that regraft can use, and their graphs on this machine.

A name in, a Backbone out: where its weights come from, under which licence, what it was trained on,
and the one transform its pixels must pass through.
"""
