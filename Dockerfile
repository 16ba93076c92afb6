# The registry server with the drivers of every store. Configure it by environment:
# REGISTRY_STORE (or DATABASE_URL), REGISTRY_AUTH_FILE, PORT, AWS_*; see docs/guides/server.md and
# docs/guides/deploy.md.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY packages packages
RUN uv venv /opt/registry \
 && uv pip install --compile-bytecode --python /opt/registry/bin/python \
      "./packages/registry-core[sql,postgres,s3,artifacts,rest,webhooks]" \
      "./packages/registry-server[oidc,otel]" ./packages/registry-cli

FROM python:3.13-slim
# By its number, so that Kubernetes knows that it is not root.
RUN useradd --uid 10001 --user-group --create-home --home-dir /data registry
COPY --from=build /opt/registry /opt/registry
# Nothing is written but below /data, by a registry in SQLite, and in /tmp: counters of workers. So
# the root file system may be read-only, with a volume and a tmpfs at these two.
ENV PATH=/opt/registry/bin:$PATH HOST=0.0.0.0 PORT=8000 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
  CMD ["python", "-c", "import os,ssl,urllib.request as r; tls=bool(os.environ.get('REGISTRY_TLS_CERT')); r.urlopen(f\"http{'s' if tls else ''}://127.0.0.1:{os.environ['PORT']}/ready\", timeout=2, context=ssl._create_unverified_context() if tls else None)"]
# It listens on every address, so it does not start without REGISTRY_AUTH_FILE: whoever runs it may
# say REGISTRY_ALLOW_UNAUTHENTICATED=true, and the image does not say it for them.
CMD ["registry-server"]
