"""Does the tunnel stay right, and stay small, under load on a bad network? `python -m bench.soak`.

    __main__     options, what is printed, the exit code
    run          the programs, tide after tide of clients, the findings
    traffic      clients and their server; each visit is judged
    plans        what both ends of a visit do, drawn by dice; the bytes that they send
    sides        one end of a visit on its socket
    judge        what the ends saw, held against what they did
    network      what a bad network does, drawn by dice
    forwarder    that network as a program
    watch        what a program holds: memory, descriptors, threads; what it logged
    verdict      is memory growing? what is wrong, in words

Linux only, like the bench.
"""
