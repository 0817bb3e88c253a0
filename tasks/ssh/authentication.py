"""Authentication on one connection: the identities in their order, then the password (RFC 4252)."""

from collections.abc import Sequence
from dataclasses import dataclass

import paramiko

from .keys import Identity


class Refused(paramiko.AuthenticationException):
    """sshd accepts none of what was tried; the text says what that was."""


@dataclass(frozen=True)
class Authentication:
    """Tries one identity after the other. It is an `auth_strategy` of paramiko's SSHClient."""

    user: str
    identities: Sequence[Identity]
    left_out: Sequence[str] = ()  # key files that cannot be used, each with the reason
    password: str | None = None

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Log in. Raises Refused, and paramiko's exceptions if the connection fails."""
        if not self.identities and self.password is None:
            raise paramiko.SSHException("No authentication methods available")
        tried: list[str] = []
        allowed = {"publickey", "password"}
        for identity in self.identities:
            if "publickey" not in allowed:
                break
            tried.append(identity.name)
            try:
                allowed = set(transport.auth_publickey(self.user, identity.key))
            except paramiko.AuthenticationException as error:
                if "timeout" in str(error):
                    raise
                if not transport.is_active():
                    raise self._refused(tried, ", and then ends the connection") from error
            else:
                if not allowed:
                    return
        if self.password is not None:
            tried.append("a password")
            try:
                transport.auth_password(self.user, self.password)
            except paramiko.AuthenticationException as error:
                raise self._refused(tried) from error
        elif "keyboard-interactive" in allowed:  # the second of two factors
            transport.auth_interactive_dumb(self.user)
        else:
            raise self._refused(tried)

    def _refused(self, tried: Sequence[str], then: str = "") -> Refused:
        """The error that says what was tried, and what was not, and why."""
        left_out = f"; not tried: {'; '.join(self.left_out)}" if self.left_out else ""
        return Refused(f"tried {', '.join(tried)}{then}{left_out}")
