# One image for every Warrant process: `docker run warrant console`, `... worker --queues gpu`, `... gateway`.
FROM python:3.11-slim-bookworm AS build
# requirements-gpu.txt makes the image of a training worker, requirements-mlflow.txt that of MLflow on an object store.
ARG REQUIREMENTS=requirements.txt
WORKDIR /opt/warrant
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir uv==0.13.9
COPY requirements.txt requirements-gpu.txt requirements-mlflow.txt ./
RUN .venv/bin/uv pip install --no-cache --compile-bytecode --python .venv/bin/python -r "${REQUIREMENTS}"
COPY pyproject.toml README.md ./
COPY app app
COPY backend backend
COPY jobs jobs
COPY pages pages
COPY models_cards models_cards
COPY tools tools
COPY .streamlit .streamlit
RUN .venv/bin/uv pip install --no-cache --python .venv/bin/python --no-deps --no-build-isolation --editable . \
    && .venv/bin/python -m compileall -q app backend jobs pages

FROM python:3.11-slim-bookworm
# lightgbm, which estimates performance without labels, loads the system's OpenMP. Its version is Debian's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 warrant \
    && useradd --uid 10001 --gid warrant --no-create-home --home-dir /var/lib/warrant warrant \
    && install -d -o warrant -g warrant /var/lib/warrant /var/lib/mlflow
COPY --from=build /opt/warrant /opt/warrant
ENV PATH=/opt/warrant/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WARRANT_HOME=/var/lib/warrant \
    WARRANT_HOST=0.0.0.0
WORKDIR /opt/warrant
USER 10001:10001
VOLUME /var/lib/warrant
EXPOSE 8501 8600
HEALTHCHECK --interval=10s --timeout=3s --start-period=40s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('WARRANT_PORT', '8501')}/healthz\", timeout=2)"]
ENTRYPOINT ["warrant"]
CMD ["console"]
