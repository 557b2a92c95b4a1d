#!/usr/bin/env python3
"""Writes a file's bytes as a C array: embed.py FILE NAME OUT"""
import pathlib
import sys

data = pathlib.Path(sys.argv[1]).read_bytes()
name = sys.argv[2]
rows = (", ".join(str(b) for b in data[i : i + 32]) for i in range(0, len(data), 32))
text = f'#include "cell/container/init.h"\n\nconst unsigned char {name}[] = {{\n'
text += "".join(f"    {row},\n" for row in rows)
text += f"}};\nconst size_t {name}_size = sizeof {name};\n"
pathlib.Path(sys.argv[3]).write_text(text)
