"""The parts of plot.py and report.py: samples, figures and the page."""
