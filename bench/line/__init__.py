"""What becomes of a line by those who send: near its rate, with loss, and a keystroke beside.

    __main__     options; one row after another; the table
    runs         a row: runs with other dice, their medians, and which of them are in doubt
    measures     what is measured under each name, on either kind of line
    line         a line's facts (rate, delay, loss, queue), and what becomes of each packet on it
    lines        the lines that are measured, by name

Engines at both ends, in virtual time: no sockets, no waiting. It is exact and repeatable on any
machine: what an engine decides is measured, not how fast it computes.

    virtual      engines at both ends of a line
    traffic      who sends: a bulk stream, and requests with answers
    figures      what is measured: one function a figure

Programs, sockets and kernels, between two hosts made of network namespaces, in real time:

    emulator     the line between the hosts' devices, a program of its own
    between      the hosts and the emulator, and what can be done to them
    clients      who downloads, and who types
    real         what is measured: one function a figure

The same objects stand under tests/quic.
"""
