"""Programs that `torch.export.save` wrote: `exporting` makes an ONNX model of one.

`torch.export.load` opens pickles wherever the archive says so, looks operators up by name in all of torch, and hands
expressions to a parser that evaluates them. So it never sees the file: `archive` copies what is plain data, after a look at
every name in it, and only that copy is loaded, in a process of its own.

archive       the copy
program       which operators, expressions and arguments a program may hold
exporting     the copy as an ONNX model
"""
