"""The remote: the public end, to whose addresses clients come from outside and origins by links."""
