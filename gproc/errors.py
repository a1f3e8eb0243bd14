"""Everything that can go wrong, as one tree.

::

    GprocError                      gRPC status            exit
    ├── InvalidArgument             INVALID_ARGUMENT       125   a request is malformed; `field` says where
    ├── JobNotFound                 NOT_FOUND              125   no such job, or somebody else's
    ├── StartFailed                 FAILED_PRECONDITION    125   the program could not be executed; `errno` says why
    │   ├── CommandNotFound                                127
    │   └── CommandNotExecutable                           126
    ├── JobFinished                 FAILED_PRECONDITION    125   the job is over, and the request needs it running
    ├── JobRunning                  FAILED_PRECONDITION    125   the job is running, and the request needs it over
    ├── OffsetOutOfRange            OUT_OF_RANGE           125   beyond the output of a finished job
    ├── QuotaExceeded               RESOURCE_EXHAUSTED     125   a limit of the server is reached
    ├── Unauthenticated             UNAUTHENTICATED        125   the certificate names nobody we can accept
    ├── PermissionDenied            PERMISSION_DENIED      125   the policy forbids this owner this command
    ├── Unimplemented               UNIMPLEMENTED          125   this server cannot do that
    ├── Unavailable                 UNAVAILABLE            125   nobody answers, or the server is draining: try again
    │   └── CertificateRefused                             125   one side does not accept the other's certificate
    ├── DeadlineExceeded            DEADLINE_EXCEEDED      125   it took longer than the caller allowed
    ├── InternalError               INTERNAL               125   a fault of the server itself
    ├── StateError                  INTERNAL               125   the state directory cannot be used
    ├── ConfigError                 INVALID_ARGUMENT       125   a setting is missing or wrong
    └── CertificateError            INVALID_ARGUMENT       125   a certificate or key cannot be made or used

Each class names its gRPC status (as a word: only `gproc.wire` knows gRPC) and the exit code of the command line.
Each message says what failed, which thing it was, and, behind a semicolon, what to do now.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CertificateError",
    "CertificateRefused",
    "CommandNotExecutable",
    "CommandNotFound",
    "ConfigError",
    "DeadlineExceeded",
    "GprocError",
    "InternalError",
    "InvalidArgument",
    "JobFinished",
    "JobNotFound",
    "JobRunning",
    "OffsetOutOfRange",
    "PermissionDenied",
    "QuotaExceeded",
    "StartFailed",
    "StateError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "split_advice",
]


def split_advice(text: str) -> tuple[str, str]:
    """Return what a message says, and what it advises people to do: what follows its first semicolon, or nothing."""
    problem, _, advice = text.partition("; ")
    return problem, advice


class GprocError(Exception):
    """The root of the tree: everything Gproc raises on purpose."""

    grpc_status: ClassVar[str] = "UNKNOWN"
    exit_code: ClassVar[int] = 125

    def __reduce__(self) -> tuple[object, ...]:
        # For a pool of processes. Not through __init__: some make their text from parts.
        return self.__class__.__new__, (self.__class__, *self.args), self.__dict__


class InvalidArgument(GprocError):
    """A request is malformed; the message begins with the name of the field."""

    grpc_status = "INVALID_ARGUMENT"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class JobNotFound(GprocError):
    """There is no such job, or it belongs to somebody else: the caller cannot tell which."""

    grpc_status = "NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id}: not found; `gproc list` shows your jobs")
        self.job_id = job_id


class StartFailed(GprocError):
    """The program could not be executed; `errno` is the system's reason."""

    grpc_status = "FAILED_PRECONDITION"

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class CommandNotFound(StartFailed):
    """There is no program of that name."""

    exit_code = 127


class CommandNotExecutable(StartFailed):
    """The program is there and may not, or cannot, be executed."""

    exit_code = 126


class JobFinished(GprocError):
    """The job is over, and the request makes sense only while it runs."""

    grpc_status = "FAILED_PRECONDITION"


class JobRunning(GprocError):
    """The job is running, and the request makes sense only when it is over."""

    grpc_status = "FAILED_PRECONDITION"


class OffsetOutOfRange(GprocError):
    """The offset lies beyond the output of a finished job."""

    grpc_status = "OUT_OF_RANGE"


class QuotaExceeded(GprocError):
    """A quota or limit of the server is reached."""

    grpc_status = "RESOURCE_EXHAUSTED"


class Unauthenticated(GprocError):
    """The client's certificate does not have exactly one acceptable common name."""

    grpc_status = "UNAUTHENTICATED"


class PermissionDenied(GprocError):
    """The policy of the server forbids this owner this command."""

    grpc_status = "PERMISSION_DENIED"


class Unimplemented(GprocError):
    """This server does not offer what was asked for."""

    grpc_status = "UNIMPLEMENTED"


class Unavailable(GprocError):
    """Nobody answers, the connection broke, or the server is draining: try again."""

    grpc_status = "UNAVAILABLE"


class CertificateRefused(Unavailable):
    """The TLS handshake failed: one side does not accept the other's certificate."""


class DeadlineExceeded(GprocError):
    """It took longer than the caller allowed."""

    grpc_status = "DEADLINE_EXCEEDED"


class InternalError(GprocError):
    """A fault of Gproc itself; the server's log has the details."""

    grpc_status = "INTERNAL"


class StateError(GprocError):
    """The state directory, or a record in it, cannot be used."""

    grpc_status = "INTERNAL"


class ConfigError(GprocError):
    """A setting is missing or wrong."""

    grpc_status = "INVALID_ARGUMENT"


class CertificateError(GprocError):
    """A certificate or key cannot be made, read or used."""

    grpc_status = "INVALID_ARGUMENT"
