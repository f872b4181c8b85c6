"""One link's life: its control stream, its clients, and its end. The base of both roles."""
