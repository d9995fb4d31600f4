"""Mutated real input for everything that reads bytes from outside; a few seconds in the suite, long by command.

python -m tests.fuzz --minutes 30          all targets in turns
python -m tests.fuzz --minutes 5 dicom     one of them
python -m tests.fuzz.api --minutes 10      every operation of the OpenAPI document
"""
