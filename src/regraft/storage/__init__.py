"""Files: written whole or not at all, read with checks, damage recognised, the cache.

files      writing, and where caches live
saved      files that regraft wrote, read with checks
records    frozen dataclasses as JSON and back, the one codec of what is recorded
seals      checksums by which damage is recognised
switching  several files and folders changed at once
csv_table  tables that no spreadsheet takes for formulas
locations  absolute paths kept out of what people share
cache/     what can be computed again, within one limit
"""
