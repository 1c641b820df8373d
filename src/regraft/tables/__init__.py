"""A table in, its columns and rows out; a cell of it as an input of its own.

reading           a file of any form to a Table
delimited         comma, tab and other separated text
json_rows         objects in JSON, a line each or in one document
fasttext_lines    lines that begin with their label
parquet           columns of Parquet, images in them included
cells             a path such as mails.csv#cell=12,2
encodings         the bytes of a text to the text
"""
