"""What a link makes of a line: near its rate, with loss, and a keystroke beside a download.

    __main__     options; one run after another; the table
    line         a line's facts (rate, delay, loss, queue), and what becomes of each datagram on it
    lines        the lines that are measured, by name
    virtual      engines at both ends of a line in virtual time: no sockets, no waiting
    traffic      who sends: a bulk stream, and requests with answers
    figures      what is measured: one function a figure

The same objects stand under tests/link. Virtual time makes it exact and repeatable on any machine:
what an engine decides is measured, not how fast it computes.
"""
