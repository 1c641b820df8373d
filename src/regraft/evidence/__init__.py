"""What is measured of a chosen candidate, and what can be said of it.

evaluation      metrics with intervals: Evaluation
predictions     a row per input
learning_curve  accuracy by number of training inputs
training_table  how networks were trained, step by step
entries         what transfer bought, whether the rule of thumb held
explaining      heat maps, and whether they depend on what was learned
"""
