"""`make attack`: hostile input for the service, the settings and the data, on this machine alone.

Each module of attacks has `run() -> list[Row]`; `__main__` runs them.
"""
