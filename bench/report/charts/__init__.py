"""The charts of a report: one file for each kind of chart, drawn with matplotlib."""
