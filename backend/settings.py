"""Settings from the environment, read once a process. A setting is one row of `Settings`."""

from __future__ import annotations

import os
from functools import cache, cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

TELEMETRY_OFF = {
    "NML_DISABLE_USAGE_LOGGING": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def disable_telemetry() -> None:
    """Switch third-party telemetry off. Runs at import of this module, before any library that reads it."""
    os.environ.update(TELEMETRY_OFF)


disable_telemetry()


class Settings(BaseSettings):
    """Each field is read from `WARRANT_<NAME>`; `MLFLOW_TRACKING_URI` keeps its well-known name."""

    model_config = SettingsConfigDict(env_prefix="WARRANT_", extra="ignore")

    home: Path = Field(Path(".warrant"), description="holds every file the embedded mode writes")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite file in home")
    observations_url: str | None = Field(None, description="folder of the Delta tables; default: in home")
    mlflow_tracking_uri: str | None = Field(
        None, validation_alias="MLFLOW_TRACKING_URI", description="MLflow; default: embedded, SQLite in home"
    )
    prometheus_url: str | None = Field(
        None, description="Prometheus that scrapes the gateway, if there is one"
    )
    host: str = Field("127.0.0.1", description="address the console and the gateway listen on")
    port: int = Field(8501, description="console port")
    gateway_port: int = Field(8600, description="gateway port")
    gateway_url: str | None = Field(None, description="how workers and clients reach the gateway")
    environment: str = Field("production", description="the environment this gateway serves")
    champion_environment: str | None = Field(
        None,
        description="the environment whose version MLflow's alias champion names; default: WARRANT_ENVIRONMENT",
    )
    public_url: str | None = Field(
        None, description="address people type; decides Secure cookies and OIDC redirects"
    )
    trusted_proxies: str = Field(
        "", description="networks whose X-Forwarded-For is believed, comma-separated, such as 10.0.0.0/8"
    )
    demo: bool = Field(False, description="demo mode: demo accounts are shown on the sign-in page")
    session_idle_min: int = Field(60, description="a session ends after this many idle minutes")
    session_absolute_h: int = Field(12, description="a session ends after this many hours whatever happens")
    oidc_issuer: str | None = Field(None, description="OpenID Connect issuer; empty switches it off")
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = None
    oidc_name: str = Field("single sign-on", description="what the sign-in button says")
    poll_s: float = Field(0.25, description="how often the gateway looks for a changed deployment")
    gateway_queue_rows: int = Field(
        4000, description="rows that may wait in the gateway; beyond it answers 429"
    )
    gateway_timeout_s: float = Field(
        10.0, gt=0, description="a request that the gateway has not answered after so long gets 504"
    )
    gateway_linger_s: float = Field(
        1.0,
        ge=0,
        description="told to stop, the gateway says it is not ready and serves for so long before it closes its port",
    )
    spool_commit_s: float = Field(2.0, description="how often the writer moves the spool into Delta")
    worker_dead_after_s: float = Field(
        10.0, ge=1, description="a worker silent for so long is dead: others go on with its runs"
    )
    trainer_python: Path | None = Field(
        None,
        description="the Python that runs trainers which need PyTorch (`make setup-torch` makes one); default: our own",
    )
    trainer_programs: dict[str, list[str]] = Field(
        {},
        description="programs that a retraining may name for the trainer `command`, as JSON: name to its words",
    )
    target: str = Field(
        "gateway", description="what carries changes out: gateway, kubernetes, webhook or fake"
    )
    webhook_url: str | None = Field(None, description="target webhook: where it is told what should serve")
    webhook_secret: str | None = Field(
        None, description="target webhook: the shared secret of its signatures"
    )
    gate_url: str | None = Field(
        None, description="gate external with `ask`: where a system outside is asked about changes"
    )
    gate_secret: str | None = Field(
        None, description="gate external with `ask`: the shared secret of its signatures"
    )
    kubernetes_namespace: str = Field("default", description="target kubernetes: where the Deployments are")
    kubernetes_deployment: str = Field(
        "{model}", description="target kubernetes: a Deployment's name; knows {model} and {environment}"
    )
    kubernetes_canary: str | None = Field(
        None,
        description="target kubernetes: name of the Deployment beside it for canaries; none: no canaries",
    )
    kubernetes_container: str | None = Field(
        None, description="target kubernetes: the container that serves; default: the only one"
    )
    kubernetes_image: str | None = Field(
        None, description="target kubernetes: its image; knows {model} and {version}; default: left as it is"
    )
    kubernetes_config: Path | None = Field(
        None,
        description="target kubernetes: a kubeconfig; default: the pod's own account, else ~/.kube/config",
    )
    kubernetes_context: str | None = Field(None, description="target kubernetes: context of the kubeconfig")
    kubernetes_dry_run: bool = Field(
        False, description="target kubernetes: have the cluster check each change, then refuse it"
    )
    contacts: Path | None = Field(
        None, description="YAML file that says who is told of incidents: channels, routes, rotas"
    )
    heartbeat: str = Field(
        "",
        description="who is told every minute that Warrant works: `webhook URL` or `alertmanager URL`, comma-separated",
    )
    heartbeat_every_s: float = Field(60.0, ge=5, description="seconds between two heartbeats")
    audit_keys: Path | None = Field(None, description="folder of the audit log's keys; default: keys in home")
    audit_origin: str | None = Field(
        None,
        description="name of this audit log in its signed heads, fixed by the first; default: <host>/audit",
    )
    audit_git: str | None = Field(
        None, description="anchor git: folder of a repository that keeps each signed head as a tag"
    )
    audit_git_remote: str | None = Field(None, description="anchor git: remote that each tag is pushed to")
    audit_witnesses: str = Field(
        "", description="anchor witness: `URL VERIFIER-KEY` of each host that co-signs, comma-separated"
    )
    audit_streams: str = Field(
        "", description="systems that follow the audit log: `KIND ADDRESS FORM [payload]`, comma-separated"
    )
    audit_stream_secret: str | None = Field(
        None, description="webhooks of audit_streams: the shared secret of their signatures"
    )
    audit_keep_payloads_days: int | None = Field(
        None, ge=1, description="payloads of audit entries are erased after so many days; default: kept"
    )
    keep_packs_days: int | None = Field(
        None,
        ge=1,
        description="evidence packs are kept for so many days; default: a year, with payloads as long as the log",
    )
    keep_trials_days: int = Field(
        30, ge=1, description="how long counts and shadow predictions of finished rollouts are kept, in days"
    )
    backup_folder: Path | None = Field(
        None, description="where backups are written; set: a worker makes one a day and tries one a week"
    )
    backup_key_file: Path | None = Field(None, description="file with the key that encrypts backups")
    backup_key: str | None = Field(
        None, description="the key itself, for hosts that hand secrets out in the environment"
    )
    backup_scratch: Path | None = Field(
        None, description="where a drill restores to, for as long as it lasts; default: in home"
    )
    backup_every_h: float = Field(
        24.0, gt=0, description="how often a worker makes a backup where a folder is set, in hours"
    )
    gateway_wait_s: float = Field(
        30.0,
        gt=0,
        description="how long a change waits until the gateways serve its version; then it is undone",
    )

    def resolved_home(self) -> Path:
        return self._home

    @cached_property
    def _home(self) -> Path:
        """Looked up once: every write asks for it several times, and it takes a look at each folder above."""
        home = self.home.expanduser().resolve()
        home.mkdir(parents=True, exist_ok=True)
        return home

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.resolved_home() / 'warrant.db'}"

    @property
    def observations(self) -> Path:
        path = Path(self.observations_url) if self.observations_url else self.resolved_home() / "observations"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def spool(self) -> Path:
        path = self.resolved_home() / "spool"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def artefacts(self) -> Path:
        """Files that jobs write for people: reports, exports."""
        path = self.resolved_home() / "artefacts"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def mlflow(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.resolved_home() / 'mlflow.db'}"

    @property
    def mirrored_environment(self) -> str:
        """Of this environment MLflow's alias `champion` is the mirror; no other one moves it or justifies it."""
        return self.champion_environment or self.environment

    @property
    def gateway(self) -> str:
        return self.gateway_url or f"http://{self.local_host}:{self.gateway_port}"

    @property
    def local_host(self) -> str:
        """Where the console and the gateway of this machine are reached: one cannot connect to "every address"."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - not to bind

    @property
    def console(self) -> str:
        return self.public_url or f"http://localhost:{self.port}"


@cache
def settings() -> Settings:
    """The settings of this process. Tests that change the environment call `settings.cache_clear()`."""
    return Settings()
