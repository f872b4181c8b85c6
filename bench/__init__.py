"""Performance of quictunnel beside no tunnel, a naive tunnel and other tunnels: `make bench`.

    __main__     options; rounds, in which the ways take turns
    measures     one function for each measurement
    load         the clients: raw sockets, so that they are not the bottleneck
    server       the origin server, a program of its own
    ways         direct, quictunnel, naive, peers: each started afresh for each measurement
    naive        a minimal tunnel on aioquic.asyncio
    peers        other tunnels, where they are installed
    host_pair    the hosts of a way's ends
    table        medians, the printed table, the JSON file
    line         tunnels on lossy, long and shared lines: `make bench-line`
    rates        rate limits: how exact they are: `make bench-rates`
    attacks      what attackers do to a remote, its clients and its origins: `make attacks`
    soak         correctness over a bad network for a long time: `make soak`

Linux only: memory and CPU time come from /proc and the kernel's clocks of processes.
"""
