"""One link as either role sees it: its control stream, its present clients, how it ends.

Who offers what and who may come is the business of the roles; what a client's bytes go through
is the relay's.
"""
