"""A long test of correctness and memory under load, over a bad network: `python -m bench.soak`.

    __main__     options, progress, the exit code
    run          the programs, tides of clients, the report
    traffic      clients and their server
    plans        random plans of both ends of a visit, and their payload
    sides        one end of a visit on its socket
    judge        compares what the ends have seen with what they have done
    watch        the resources of a program: memory, descriptors, threads; its log
    verdict      whether memory grows

The bad network is `testkit.weather`. Linux only, like the bench.
"""
