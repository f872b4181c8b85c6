"""Figures for quictunnel beside no tunnel, a naive one and other people's: `make bench`.

    __main__     options; the rounds, in which the ways take turns
    measures     what is measured, one function a measure
    load         the clients: raw sockets, so that they are not what is slow
    server       the origin server, a program of its own
    ways         direct, quictunnel, naive, peers: each started afresh for each measure
    naive        the tunnel that one would write on aioquic.asyncio in fifty lines
    peers        other people's tunnels, where they are installed
    processes    programs as subprocesses: readiness, CPU time, memory
    table        medians, the printed table, the JSON file
    line         what a link makes of a lossy line, in virtual time: `python -m bench.line`
    soak         whether all stays right for as long as one likes: `make soak`

Linux only: memory and CPU time come from /proc and the kernel's clocks of processes.
"""
