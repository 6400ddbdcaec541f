"""Reading and patching Deployments of one namespace: timeouts, what is tried again, and what is an answer."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from backend.deployment.targets import TargetAway, TargetRefused
from backend.errors import BadInput
from backend.settings import settings

TIMEOUT_S: Final = (3.0, 10.0)  # to connect, to read
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)
LONGEST_PAUSE_S: Final = 10.0
PASSING: Final = frozenset({0, 408, 425, 429})


class Moved(Exception):
    """Somebody else changed the Deployment since it was read; read it again."""


class Cluster:
    """`api` has the calls of the client's `AppsV1Api`. Every call raises `TargetRefused` for an answer that stays
    the same, and `TargetAway` where there was none."""

    def __init__(self, api: Any, namespace: str, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self._api, self._namespace, self._pauses_s = api, namespace, pauses_s

    def read(self, name: str, *, absent_is_fine: bool = False) -> Any:
        """The client's `V1Deployment`; None where it is absent and that is fine."""

        def read() -> Any:
            return self._api.read_namespaced_deployment(name, self._namespace, _request_timeout=TIMEOUT_S)

        return self._call(name, read, absent_is_fine=absent_is_fine)

    def patch(self, name: str, body: dict[str, Any], *, dry_run: bool = False) -> None:
        """A strategic merge patch. Raises `Moved` where the Deployment is no longer the one it was made from."""

        def send() -> Any:
            return self._api.patch_namespaced_deployment(
                name, self._namespace, body, dry_run="All" if dry_run else None, field_manager="warrant",
                field_validation="Strict", _content_type="application/strategic-merge-patch+json",
                _request_timeout=TIMEOUT_S,
            )  # fmt: skip

        self._call(name, send)

    def _call(self, name: str, function: Callable[[], Any], *, absent_is_fine: bool = False) -> Any:
        """Until there is an answer that settles it; what may pass is tried again, with pauses between."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        problem = ""
        for pause_s in (*self._pauses_s, None):
            asked_s = 0.0
            try:
                return function()
            except ApiException as failure:
                status = int(failure.status or 0)
                if status == 409:
                    raise Moved from failure
                if status == 404 and absent_is_fine:
                    return None
                problem = f"{status} {_reason(failure)}"
                if status < 500 and status not in PASSING:
                    raise TargetRefused(f"Kubernetes on the Deployment {name}: {problem}") from failure
                asked_s = _retry_after_s(failure.headers)
            except HTTPError as failure:
                problem = f"{type(failure).__name__}: {failure}"
            if pause_s is not None:
                time.sleep(min(max(pause_s, asked_s), LONGEST_PAUSE_S))
        raise TargetAway(
            f"Kubernetes did not answer {len(self._pauses_s) + 1} times about the Deployment {name} ({problem})"
        )


def connect() -> Any:
    """The client, as the pod's own account or by a kubeconfig. It does not retry by itself: `Cluster` does."""
    from kubernetes import client, config

    configuration = client.Configuration()
    path = settings().kubernetes_config
    try:
        if path is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                str(path) if path else None,
                context=settings().kubernetes_context,
                client_configuration=configuration,
            )
    except (config.ConfigException, OSError) as failure:
        raise BadInput(
            f"the kubernetes target found no cluster: {failure}; see WARRANT_KUBERNETES_CONFIG"
        ) from failure
    configuration.retries = 0
    return client.AppsV1Api(client.ApiClient(configuration))


def _retry_after_s(headers: Mapping[str, str] | None) -> float:
    """What the answer asks for, in seconds; 0 where it asks for nothing."""
    try:
        return max(float((headers or {}).get("Retry-After", 0)), 0.0)
    except ValueError:
        return 0.0


def _reason(failure: Any) -> str:
    """What Kubernetes says in the `Status` it answers with."""
    found = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"', str(failure.body or ""))
    return (found[1] if found else str(failure.reason or "it does not say why"))[:300]
