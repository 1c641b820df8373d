"""Files of a Dataset in, what networks and plain measures make of them out, kept by content.

embedding    `embed`: the features of a backbone
activations  inputs of the stages that train, in augmented views, on disk
measures     what an Examiner tells of every row: plain facts, a signature that tells copies,
             what people see of it
"""
