# The server's image: `docker build -t gatecast .`. Versions come from the lock file; the test and demo extras stay out.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
COPY protos protos
COPY tenants tenants
COPY xds xds
COPY kong_sync kong_sync
COPY kong_double kong_double
COPY gatecast gatecast
# A constraint cannot carry hashes.
RUN sed -E '/^ +--hash/d; s/ *\\$//' requirements.lock > constraints.txt \
    && python -m venv /opt/gatecast \
    && /opt/gatecast/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/gatecast /opt/gatecast
ENV PATH=/opt/gatecast/bin:$PATH PYTHONDONTWRITEBYTECODE=1 GATECAST_STORE=/var/lib/gatecast/gatecast.db
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/gatecast
VOLUME /var/lib/gatecast
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:18001/readyz', timeout=2)"]
ENTRYPOINT ["gatecast"]
CMD ["serve", "--settings", "/settings"]
