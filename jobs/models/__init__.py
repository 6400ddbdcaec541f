"""Models of versions, asked in processes of their own: files can run code when they are loaded, and when they answer.

    with open_model(version.uri, version.artefact_digest) as model:
        answers = model.score(frame, spec, cutoff=0.5)

No job loads an artefact in another way. `opening` says which files may be loaded, `process` starts the process that
loads them and asks it, `child` is what runs there.
"""

from __future__ import annotations

from jobs.models.opening import job_loader, open_model
from jobs.models.process import ModelEnded, ModelProcess, ModelRaised

__all__ = ["ModelEnded", "ModelProcess", "ModelRaised", "job_loader", "open_model"]
