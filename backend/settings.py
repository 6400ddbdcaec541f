"""Settings from the environment, read once a process. A setting is one row of `Settings`."""

from __future__ import annotations

import os
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from backend.errors import BadInput

SECRETS = frozenset(
    {
        "database_url", "mlflow_tracking_uri", "oidc_client_secret", "webhook_url", "webhook_secret", "gate_url",
        "gate_secret", "heartbeat", "mlflow_webhook_secret", "audit_streams", "audit_stream_secret",
    }
)  # fmt: skip
"""Settings that hold a password or are one. The key of the backups has its file as a setting of its own."""

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


class SecretFiles(PydanticBaseSettingsSource):
    """A setting named in `SECRETS` may be in a file that `<VARIABLE>_FILE` names: orchestrators mount secrets so."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = str(field.validation_alias or f"WARRANT_{field_name.upper()}")
        path = os.environ.get(f"{variable}_FILE") if field_name in SECRETS else None
        if not path:
            return None, field_name, False
        if os.environ.get(variable):
            raise BadInput(f"{variable} and {variable}_FILE are both set; keep one of them")
        try:
            found = Path(path).expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise BadInput(f"{variable}_FILE: {path} cannot be read: {reason}") from error
        if not found:
            raise BadInput(f"{variable}_FILE: {path} is empty")
        return found, str(field.validation_alias or field_name), False

    def __call__(self) -> dict[str, Any]:
        found = [self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items()]
        return {name: value for value, name, _ in found if value is not None}


class Settings(BaseSettings):
    """Each field is read from `WARRANT_<NAME>`; `MLFLOW_TRACKING_URI` keeps its well-known name."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """No file in the working directory is read: secrets come by the environment, or a file that it names."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    model_config = SettingsConfigDict(env_prefix="WARRANT_", extra="ignore")

    home: Path = Field(Path(".warrant"), description="holds every file the embedded mode writes")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite file in home")
    observations_url: str | None = Field(None, description="folder of the Delta tables; default: in home")
    mlflow_tracking_uri: str | None = Field(
        None, validation_alias="MLFLOW_TRACKING_URI", description="MLflow; default: embedded, SQLite in home"
    )
    mlflow_webhook_secret: str | None = Field(
        None, description="the secret of MLflow's webhooks to /hooks/mlflow; none: they are not taken"
    )
    prometheus_url: str | None = Field(
        None, description="Prometheus that scrapes the gateway, if there is one"
    )
    host: str = Field("127.0.0.1", description="address the console and the gateway listen on")
    port: int = Field(8501, description="console port")
    consoles: int = Field(
        1, ge=1, le=16, description="console processes that `warrant up` starts on the one port (Linux)"
    )
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
    reachable_networks: str = Field(
        "",
        description="networks that are not public and that webhooks, channels and outside checks may reach,"
        " comma-separated, such as 10.20.0.0/16",
    )
    api_requests_per_min: int = Field(
        6000, ge=0, description="requests that the API takes from one account a minute; 0: as many as come"
    )
    log_format: Literal["plain", "json"] = Field(
        "plain", description="log lines for people (`plain`) or for machines (`json`)"
    )
    show_gini: bool = Field(
        False, description="beside every AUC its Gini, 2·AUC − 1, as credit scoring tells it"
    )
    demo: bool = Field(False, description="demo mode: demo accounts are shown on the sign-in page")
    session_idle_min: int = Field(60, description="a session ends after this many idle minutes")
    session_absolute_h: int = Field(12, description="a session ends after this many hours whatever happens")
    step_up_min: int = Field(
        10, ge=1, description="what weighs much is done only within so many minutes of signing in"
    )
    oidc_issuer: str | None = Field(None, description="OpenID Connect issuer; empty switches it off")
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = None
    oidc_name: str = Field("single sign-on", description="what the sign-in button says")
    oidc_providers: Path | None = Field(
        None, description="YAML file of further sign-on providers, each with its button"
    )
    sign_on_role: Literal["none", "viewer"] = Field(
        "none",
        description="what who signs on the first time may do: nothing until somebody, a team or a rule gives them a"
        " role (`none`), or look at everything (`viewer`)",
    )
    oidc_roles_days: int = Field(
        30, ge=1, description="roles that a rule gives by sign-on count for so many days after the last one"
    )
    local_accounts: bool = Field(
        True, description="people may sign in with a password; false: with single sign-on alone"
    )
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
    trainer_network: bool = Field(
        False,
        description="trainers may use this host's network; else they get one that holds themselves alone",
    )
    model_memory_mb: int = Field(
        8192, ge=512, description="memory of the process in which a job loads a model"
    )
    model_time_s: float = Field(
        1800.0, gt=0, description="a model's process that has not answered a job after so long is ended"
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
    source_folders: str = Field(
        "",
        description="folders, comma-separated, whose files `warrant apply` may have imported; default: sources in home",
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
    prices: dict[str, float] = Field(
        {},
        description="what things cost, as JSON: compute_hour, gpu_hour, storage_gb_month; default: hours and GB alone",
    )
    currency: str = Field("EUR", max_length=12, description="the currency of the prices")
    gateway_wait_s: float = Field(
        30.0,
        gt=0,
        description="how long a change waits until the gateways serve its version; then it is undone",
    )

    @field_validator("prices")
    @classmethod
    def _known_prices(cls, given: dict[str, float]) -> dict[str, float]:
        known = ("compute_hour", "gpu_hour", "storage_gb_month")
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"no price {', '.join(unknown)}; there are {', '.join(known)}")
        if any(not 0 <= price < 1e9 for price in given.values()):
            raise ValueError("a price is a number from 0")
        return given

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
