"""The whole exception tree: what went wrong, for whom, and what happens next.

Each class carries its gRPC status (by name: this package knows no grpc), whether a site should
retry, and the exit code of a command that ends on it. `ERRORS` is the total table; one interceptor
(`transplant.rpc.status`) and the three command lines translate.
"""

from __future__ import annotations

from typing import ClassVar


class TransplantError(Exception):
    """Root of the tree. `str(error)` is one plain sentence for the person who can act."""

    status: ClassVar[str] = "INTERNAL"
    retry: ClassVar[bool] = False
    exit_code: ClassVar[int] = 70

    @classmethod
    def code(cls) -> str:
        """Return the stable name that travels on the wire beside the status."""
        return cls.__name__


# --- what a person typed or configured -------------------------------------------------------


class InvalidSettings(TransplantError):
    """A setting or flag is missing, unknown or out of range."""

    status = "INVALID_ARGUMENT"
    exit_code = 64


class AlreadyServing(InvalidSettings):
    """Another `serve` works on this home, or on this registry from another home."""


class InvalidName(TransplantError):
    """A site, category or task name breaks the naming rule."""

    status = "INVALID_ARGUMENT"
    exit_code = 64


# --- local data --------------------------------------------------------------------------------


class DatasetNotFound(TransplantError):
    """The path of a data set does not exist or holds no images."""

    status = "FAILED_PRECONDITION"
    exit_code = 66


class DatasetInvalid(TransplantError):
    """A data set is there but broken: an image without mask, a bad label, an unreadable file."""

    status = "FAILED_PRECONDITION"
    exit_code = 65


class ImagesInvalid(TransplantError):
    """Images are not what the net takes: another type, shape, size or range of values."""

    status = "INVALID_ARGUMENT"
    exit_code = 65


class CheckpointInvalid(TransplantError):
    """A checkpoint was made by other settings or is damaged."""

    status = "FAILED_PRECONDITION"
    exit_code = 65


# --- transfer --------------------------------------------------------------------------------------


class TransferNotPossible(TransplantError):
    """A net cannot lend what is asked for: shapes do not fit, or it has no such layers or answers."""

    status = "FAILED_PRECONDITION"
    exit_code = 65


# --- artifacts -----------------------------------------------------------------------------------


class ArtifactRejected(TransplantError):
    """A received artifact breaks a rule; nothing of it was registered."""

    status = "INVALID_ARGUMENT"
    exit_code = 76


class ManifestInvalid(ArtifactRejected):
    """A manifest has an unknown field, a missing field or a value outside its range (the path is named)."""


class UnknownArchitecture(ArtifactRejected):
    """The architecture id or one of its hyper-parameters is not in the closed table."""


class PayloadMalformed(ArtifactRejected):
    """The bytes are not the safetensors file that the manifest describes."""


class DigestMismatch(ArtifactRejected):
    """The sha256 of the received bytes is not the declared one."""


class TensorNotFinite(ArtifactRejected):
    """A tensor holds NaN, an infinity or an absurdly large number."""


class SeamMismatch(ArtifactRejected):
    """Two modules cannot be joined: the feature map of one is not the input of the other."""


class TooLarge(ArtifactRejected):
    """A declared size is over the limit; checked before anything is allocated."""

    status = "RESOURCE_EXHAUSTED"


class WeightsImplausible(ArtifactRejected):
    """Finite weights that are no trained net: constant, denormal, or answering nothing or too much."""


class DisclosureImplausible(ArtifactRejected):
    """Declared statistics or answers do not fit the module that they are about."""


class AdmissionTimedOut(ArtifactRejected):
    """The trial run of the module at the center took longer than its limit."""


class AdmissionCrashed(ArtifactRejected):
    """The trial run of the module at the center ended its process, or took more memory than its limit."""


class TransferForbidden(ArtifactRejected):
    """The site that made a module does not allow that other sites learn from it."""

    status = "PERMISSION_DENIED"
    exit_code = 77


class AdmissionPending(TransplantError):
    """The center has received the module and has not admitted it yet: ask again."""

    status = "UNAVAILABLE"
    retry = True
    exit_code = 75


# --- transfers -----------------------------------------------------------------------------------


class ChunkCorrupt(TransplantError):
    """A chunk's crc32c does not fit its bytes: the link damaged it, send it again."""

    status = "DATA_LOSS"
    retry = True
    exit_code = 75


class ChunkOutOfOrder(TransplantError):
    """A chunk does not start at the durable offset; ask `UploadStatus` and go on from there."""

    status = "OUT_OF_RANGE"
    retry = True
    exit_code = 75


class UploadIncomplete(TransplantError):
    """Commit came before the last byte."""

    status = "FAILED_PRECONDITION"
    retry = True
    exit_code = 75


class StorageFull(TransplantError):
    """The disk (or the quota of the volume) has no room left; nothing was half-written."""

    status = "RESOURCE_EXHAUSTED"
    retry = True
    exit_code = 74


class StoreUnavailable(TransplantError):
    """The blob store does not answer or refuses us; nothing was half-written, and repeating is harmless."""

    status = "UNAVAILABLE"
    retry = True
    exit_code = 69


class QuotaExceeded(TransplantError):
    """The site has used what its quota allows."""

    status = "RESOURCE_EXHAUSTED"
    exit_code = 77


class TooManyCalls(TransplantError):
    """A caller has as many calls under way as it may, or all together have as many as the center takes."""

    status = "RESOURCE_EXHAUSTED"
    retry = True
    exit_code = 75


class GaveWay(TooManyCalls):
    """A call gave its place to another caller's, because the center is full; go on in a new one."""

    status = "UNAVAILABLE"


class CallerIdle(TransplantError):
    """A caller opened a call and then neither sent nor read for too long; go on in a new one."""

    status = "DEADLINE_EXCEEDED"
    retry = True
    exit_code = 75


class CenterUnreachable(TransplantError):
    """The merge server did not answer within the deadline."""

    status = "UNAVAILABLE"
    retry = True
    exit_code = 69


# --- identity --------------------------------------------------------------------------------------


class NotAuthenticated(TransplantError):
    """No client certificate of this center's CA, or one without a transplant identity."""

    status = "UNAUTHENTICATED"
    exit_code = 77


class NotAllowed(TransplantError):
    """The identity has no right to this call, this category or this module."""

    status = "PERMISSION_DENIED"
    exit_code = 77


class SignatureInvalid(NotAllowed):
    """A verdict is not signed, where the center asks for it, or not by the key of its site's certificate."""


class CertificateInvalid(TransplantError):
    """A certificate or key file is missing, unreadable, expired or not for this use."""

    status = "UNAUTHENTICATED"
    exit_code = 78


# --- the registry and merging ------------------------------------------------------------------------


class NotFound(TransplantError):
    """No module, upload, merge or version of that id (or none that the caller may see)."""

    status = "NOT_FOUND"
    exit_code = 68


class RegistryConflict(TransplantError):
    """The same key is registered with other content."""

    status = "ALREADY_EXISTS"
    exit_code = 73


class RegistryDamaged(TransplantError):
    """The registry and the store disagree: an entry has no blob, or a blob has other bytes."""

    status = "DATA_LOSS"
    exit_code = 74


class AuditChainBroken(TransplantError):
    """The audit log is not what was written: an entry was changed, removed or inserted, or its end is cut."""

    status = "DATA_LOSS"
    exit_code = 71


class DamageFound(RegistryDamaged):
    """A check of the registry and the store found damage; its report says what to do about each piece."""

    exit_code = 72


class BackupInvalid(TransplantError):
    """A backup is incomplete, was changed, or is of another format; nothing was restored from it."""

    status = "DATA_LOSS"
    exit_code = 65


class RegistryUnavailable(TransplantError):
    """The registry's database went away or is busy; nothing was half-written, and repeating is harmless."""

    status = "UNAVAILABLE"
    retry = True
    exit_code = 69


class MergeNotPossible(TransplantError):
    """A merge cannot start or go on: no host, a missing teacher module, or a state that forbids it."""

    status = "FAILED_PRECONDITION"
    exit_code = 65


class DisclosureMissing(MergeNotPossible):
    """A method needs feature statistics that the site did not disclose."""


class RoundsUnfinished(MergeNotPossible):
    """A federated run ended without a result: too few sites came or answered, or it ran out of time."""

    retry = True
    exit_code = 75


class ForgettingDetected(TransplantError):
    """A merge would change an earlier module or an earlier route's output; it was not published."""

    status = "ABORTED"
    exit_code = 70


class MergeCancelled(TransplantError):
    """The operator or the owning site cancelled the merge."""

    status = "CANCELLED"
    exit_code = 75


class MergeEngineUnavailable(TransplantError):
    """Ray is not there or went away; the merge stays planned and is tried again."""

    status = "UNAVAILABLE"
    retry = True
    exit_code = 69


class ExportFailed(TransplantError):
    """An exported program does not answer as the net does; it was not kept."""

    exit_code = 70


class BenchmarkFailed(TransplantError):
    """A measured run could not be finished, or it missed a bar that it must reach (the bar is named)."""

    exit_code = 65


class UnexpectedFailure(TransplantError):
    """A bug of ours: the message holds an incident id, the details stand in the log only."""


def _subclasses(root: type[TransplantError]) -> list[type[TransplantError]]:
    found = [root]
    for child in root.__subclasses__():
        found += _subclasses(child)
    return found


ERRORS: dict[str, type[TransplantError]] = {cls.code(): cls for cls in _subclasses(TransplantError)}


def rejection_of(code: str, reason: str) -> TransplantError:
    """Return a module's rejection as the error that it is, whichever release wrote its name down."""
    return ERRORS.get(code, ArtifactRejected)(reason)
