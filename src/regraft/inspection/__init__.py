"""A Dataset in, what is wrong with it and what it looks like out.

issues/    `find_issues`: a file for each kind of issue
grouping   what no split may part: near copies, series, blocks of an order; what of training belongs
           to a given test set
auditing   features, measures and a probe's predictions together: what is wrong, and what it costs
exploring  the first look: a map, how classes keep apart, facts by class, mean images, typical words
"""
