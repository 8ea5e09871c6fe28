"""How to inspect labelling: what each function does, how right it seems, and where people should look. No truth is read.

write      the label step's report.json and report.html
measures   coverage, overlap, conflict, agreement: from the votes alone
against    what people say beside what the label model believes; calibration
firing     how often functions fire, by device and by firmware variant
change     whether that moved since the labels made before
charts     plots as SVG
page       all of it as one HTML file
"""

from components.labeling.report.change import change_since_last
from components.labeling.report.write import export_page, read_report, write_report

__all__ = ["change_since_last", "export_page", "read_report", "write_report"]
