"""The parts of compare_peers.py: cases, processes, calls, table and chart."""
