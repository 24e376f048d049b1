# The gateway as an image: packages exactly as locked, no build tools, no root.
#   docker build -t cryptomarket . && docker run --rm -p 127.0.0.1:8000:8000 cryptomarket

FROM python:3.13.16-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
# The locked packages first: they change less often than the code, so their layer is kept.
# What the image can do beside serving: `celery` for a worker and a beat.
ARG REQUIREMENTS=run
COPY requirements/build.txt requirements/node.txt requirements/${REQUIREMENTS}.txt requirements/
RUN python -m venv /build \
    && /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt -r requirements/node.txt \
    && python -m venv --without-pip /app \
    && python -m pip --python /app/bin/python install --require-hashes --only-binary :all: -r requirements/${REQUIREMENTS}.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY cryptomarket cryptomarket
RUN /build/bin/python -m hatchling build --target wheel --directory /wheel \
    && python -m pip --python /app/bin/python install --no-index --no-deps /wheel/*.whl

FROM python:3.13.16-slim-trixie
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
    && groupadd --gid 10001 cryptomarket \
    && useradd --uid 10001 --gid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin cryptomarket \
    # A new volume gets the owner of the folder it is mounted on: docker-compose.yml writes secrets into these.
    && install --directory --owner 10001 --group 10001 /secrets/accounts /secrets/migrate /secrets/gateway \
        /secrets/celery /secrets/postgres /secrets/redis /secrets/grafana
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
# The working directory holds the SQLite file unless CRYPTOMARKET_DATABASE_URL says otherwise; mount a volume here to keep it.
WORKDIR /data
EXPOSE 8000
# Alive, not ready: a container whose exchange is down is degraded, and restarting it would not help.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('CRYPTOMARKET_PORT') or 8000), timeout=3); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
CMD ["cryptomarket", "serve", "--host", "0.0.0.0"]
