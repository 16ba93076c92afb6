# The registry server with the drivers of every store. Configure it by environment:
# REGISTRY_STORE (or DATABASE_URL), PORT, AWS_*; see docs/server.md.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY packages packages
RUN uv venv /opt/registry \
 && uv pip install --python /opt/registry/bin/python \
      "./packages/registry-core[sql,postgres,s3,artifacts,rest]" \
      ./packages/registry-server ./packages/registry-cli

FROM python:3.13-slim
RUN useradd --create-home --home-dir /data registry
COPY --from=build /opt/registry /opt/registry
ENV PATH=/opt/registry/bin:$PATH HOST=0.0.0.0 PORT=8000
USER registry
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
  CMD ["python", "-c", "import os,urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/ready\", timeout=2)"]
# A public address needs `--auth-file`, or these words.
CMD ["registry-server", "--allow-unauthenticated"]
