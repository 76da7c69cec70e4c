"""What a project declares by itself: contracts of its own tables, in the folder `contracts` beside watershed.toml.

`types.py` and `contract_file.py` read and write the files, `files_list.py` the lists of files that tables are made of,
and `registry.py` adds the contracts of the current project to those of the package.
"""
