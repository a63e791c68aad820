"""Numbers in, numbers out: intervals, ratios, trends, outliers, power."""
