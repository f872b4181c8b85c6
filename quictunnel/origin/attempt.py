"""One attempt to establish a session, with each of the remote's addresses if need be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quictunnel.errors import LinkError, Refused
from quictunnel.origin.session import OriginSession
from quictunnel.protocol.messages import Welcome


class Attempt:
    """One attempt to establish a session.

    The peer that answers first may not be the remote. Its refusal, or its silence after the
    handshake, must not keep the origin from the remote at another address.

    :param dial: returns a session whose link is made, at an address that no earlier one has. Raises
        LinkFailed if no such address answers, and Refused for a wrong certificate or protocol.
    :param greet: greets the remote with a session whose link is made.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[OriginSession]],
        greet: Callable[[OriginSession], Awaitable[Welcome]],
    ) -> None:
        self.was_answered = False
        """Whether a peer has answered at one of the addresses."""
        self._dial = dial
        self._greet = greet

    async def run(self) -> tuple[OriginSession, Welcome]:
        """Return an established session, with the remote's welcome.

        :raises Refused: the remote refuses the origin, or one of the peers does and no other
            address leads to the remote.
        :raises LinkError: no address leads to the remote.
        """
        errors: list[LinkError | Refused] = []
        while True:
            try:
                session = await self._dial()
            except (LinkError, Refused) as exc:
                errors.append(exc)
                break
            self.was_answered = True
            try:
                return session, await self._greet(session)
            except (LinkError, Refused) as exc:
                if isinstance(exc, Refused) and exc.is_proven:
                    raise
                errors.append(exc)
        refusal = next((exc for exc in errors if isinstance(exc, Refused)), None)
        self.was_answered |= refusal is not None
        raise refusal or errors[0]
