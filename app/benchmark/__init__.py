"""What `/benchmark` does: models in turns, what is found out, where it is kept, and as which files it leaves.

jobs > measure > (contender, sweep, pairs) > result          one run, in a thread of its own
jobs > store                                                 results and raw samples, in SQLite
table, page > charts                                         as CSV, as one HTML page
"""
