# The daemon alone: no compiler, no tests, no root.
#
#   docker build -t smshub .
#   docker run -v ./smshub.toml:/etc/smshub/smshub.toml:ro -v smshub:/var/lib/smshub -p 2775:2775 smshub
#
# In the configuration, `[store] url = "sqlite:////var/lib/smshub/smshub.db"` keeps the journal on the volume.

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m venv /opt/smshub
# The pins first: a change of source does not install them again.
COPY requirements/run.txt requirements/run.txt
RUN /opt/smshub/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY hub hub
COPY ops ops
COPY provisioning provisioning
COPY smpp smpp
COPY store store
COPY threading_tokens threading_tokens
COPY translators translators
RUN /opt/smshub/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/smshub/bin/pip uninstall --yes pip

FROM python:${PYTHON}-slim
RUN groupadd --system --gid 10001 smshub \
    && useradd --system --uid 10001 --gid smshub --home-dir /var/lib/smshub --create-home smshub
COPY --from=build /opt/smshub /opt/smshub
ENV PATH=/opt/smshub/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SMSHUB_CONFIG=/etc/smshub/smshub.toml \
    SMSHUB_HEALTH_URL=http://127.0.0.1:9464/health
USER 10001:10001
WORKDIR /var/lib/smshub
VOLUME /var/lib/smshub
# SMPP; metrics and health.
EXPOSE 2775 9464
# The image has no curl. A daemon that answers anything but 200 is not healthy; urlopen raises then.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(os.environ['SMSHUB_HEALTH_URL'], timeout=2)"]
# The daemon drains before it ends: give it time.
STOPSIGNAL SIGTERM
ENTRYPOINT ["smshub"]
CMD ["run"]
