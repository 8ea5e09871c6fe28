"""What people say about windows.

annotate         asks, on a page or in the terminal
active           which windows are most worth a question (excerpt: how they are shown)
annotation_file  keeps the answers
annotations      reads them as gold labels (transfer: from and to files of other tools)
gold             tasks that learn from declared segments alone
"""
