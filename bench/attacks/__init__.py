"""`make attacks`: what an attacker with 10 Mbit/s does to a remote, its clients and its origins.

An attacker in a network of its own attacks a remote for a minute, in one way after another
(`testkit.attacker`). Meanwhile, clients of an honest origin send echoes, new clients connect, and
origins that the remote has never seen start. The program fails if a bound of `bounds` is broken.

site      the hosts, the remote, the honest origin and the attacker
clients   clients that measure echoes, and new ones that measure their first answer
newcomers origins that start during an attack
measures  the figures of one attack
bounds    the bounds, and which of them a measurement breaks
results   the figures as JSON
"""
