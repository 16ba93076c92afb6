# The registry server with the drivers of every store. Configure it by environment:
# REGISTRY_STORE (or DATABASE_URL), REGISTRY_AUTH_FILE, PORT, AWS_*; see docs/server.md.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY packages packages
RUN uv venv /opt/registry \
 && uv pip install --python /opt/registry/bin/python \
      "./packages/registry-core[sql,postgres,s3,artifacts,rest,webhooks]" \
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
# It listens on every address, so it does not start without REGISTRY_AUTH_FILE: whoever runs it may
# say REGISTRY_ALLOW_UNAUTHENTICATED=true, and the image does not say it for them.
CMD ["registry-server"]
