"""Texts: what they are called, and where that is which reads, prepares and looks at them.

decoding      bytes to normalised UTF-8
tokens        a text to the token numbers of a backbone
vectors       tables of word vectors
attributes    plain facts on a text
examiner      what may give a class away, what may be wrong with a text
"""

from regraft.kinds.kind import Kind, Part

KIND = Kind(
    name="text",
    thing="text",
    things="texts",
    noun="text",
    usual="texts in one folder per class (.txt, .md, .eml...), or a table with a text column",
    example="text.txt",
    suffixes=frozenset((".txt", ".text", ".md", ".eml", ".log")),
    extent="characters x lines",
    others="writers, topics or languages",
    depths=("single words", "phrases", "what is meant"),
    in_cells=True,
    graph_input=("tokens", "tensor(int64)", 1),
    reader=Part("regraft.kinds.texts.decoding:READER"),
    transform=Part("regraft.kinds.texts.tokens:TextTransform.from_dict"),
    examiner=Part("regraft.kinds.texts.examiner:EXAMINER"),
    backbones=Part("regraft.backbones.built_in:OF_TEXTS"),
    similarity=Part("regraft.racing.similarity:OF_TEXTS"),
    copies=Part("regraft.inspection.issues.text_copies:OF_TEXTS"),
    tuning=Part("regraft.approaches.fine_tune:OF_TEXTS"),
    scratch=Part("regraft.approaches.word_vectors:untrained"),
    sizes=Part("regraft.reporting.sizes:of_texts"),
    form=Part("regraft.exporting.forms:OF_TEXTS"),
    intake=Part("regraft.serving.intake:OF_TEXTS"),
)
