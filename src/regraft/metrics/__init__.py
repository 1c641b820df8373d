"""Arrays in, numbers with intervals out.

rates        of labels and probabilities
differences  whether two accuracies differ significantly: one rule for the race, runs side by side
             and promotion
"""
