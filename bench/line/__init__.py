"""Throughput and delay of tunnels on lossy, long and shared lines.

    __main__     options, rows and the table
    runs         a row: runs with different seeds, their medians, and failed runs
    measures     the measurements of each name, on either kind of line
    line         the properties of a line: rate, delay, loss, queue
    lines        the measured lines, by name

Engines at both ends in virtual time, without sockets and waiting. The result is exact and
repeatable on any machine: it depends on an engine's decisions, not on its speed.

    virtual      engines at both ends of a line
    stops        suspensions of processes, as on a busy machine
    traffic      a bulk stream, and requests with answers
    figures      one function for each figure

Programs, sockets and kernels, between two hosts made of network namespaces, in real time:

    emulator     the line between the hosts' devices, a program of its own
    between      the hosts and the emulator
    clients      a download, and a client that types
    real         one function for each figure
"""
