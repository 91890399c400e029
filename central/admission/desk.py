"""The admission desk: a thread of the server that takes received modules, one by one, to the examiner.

Level-triggered, as the merge loop is: each round asks the registry what is received and not decided. A
center that was killed at any moment begins with the same question.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.usecases.admit_module import admit_upload
from transplant.errors import AdmissionPending, TransplantError

if TYPE_CHECKING:
    import threading

    from central.admission.examiner import Examiner
    from central.registry.values import DeclaredUpload
    from central.usecases.center import Center

log = logging.getLogger(__name__)

_IDLE_S = 2.0
_RETRY_S = 5.0


class AdmissionDesk:
    """Decides about every received module of a center. One of them runs, in one thread.

    Args:
        center: ports and policy.
        examiner: who looks into the modules.
    """

    def __init__(self, center: Center, examiner: Examiner) -> None:
        self._center = center
        self._examiner = examiner
        self._not_before_s: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A round that fails is logged, and the next one tries again."""
        while not stop.is_set():
            heard = self._center.bell.rings
            try:
                decided = self.tick(stop)
            except TransplantError as error:
                log.warning("admission: %s: %s; trying again in %g s", error.code(), error, _RETRY_S)
                stop.wait(_RETRY_S)
                continue
            except Exception:
                log.exception("a round of admission failed; trying again in %g s", _RETRY_S)
                stop.wait(_RETRY_S)
                continue
            if not decided:
                self._center.bell.wait(heard, _IDLE_S)

    def tick(self, stop: threading.Event | None = None) -> int:
        """Go through what is received, in the order in which it came; return how many were decided."""
        with self._center.registry.read() as books:
            received = books.uploads.received()
        decided = 0
        for upload in received:
            if stop is not None and stop.is_set():
                break
            decided += self._admit_safely(upload)
        return decided

    def _admit_safely(self, upload: DeclaredUpload) -> bool:
        """Decide about one module; one module's trouble must not hold up the others."""
        key, now_s = upload.upload_id, self._center.clock.monotonic_s()
        if now_s < self._not_before_s.get(key, now_s):
            return False
        try:
            admit_upload(self._center, self._examiner, upload)
        except AdmissionPending as error:
            log.debug("module %s waits: %s", key[:12], error)
            return False
        except TransplantError as error:
            self._not_before_s[key] = now_s + _RETRY_S
            log.warning("module %s waits: %s: %s", key[:12], error.code(), error)
            return False
        self._not_before_s.pop(key, None)
        return True
