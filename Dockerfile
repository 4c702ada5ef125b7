# docker build -t pedro-ledger .                                  a daemon for your own PostgreSQL
# docker build -t pedro-ledger --build-arg EXTRAS=[embedded] .    with the embedded one, for a try
FROM python:3.13-slim AS build
ARG EXTRAS=""
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY pedro_ledger pedro_ledger
COPY sql sql
COPY config config
COPY docs/reference docs/reference
RUN sed -E '/^ +--hash/d; s/ *\\$//' requirements.lock > constraints.txt \
    && python -m venv /opt/pedro \
    && /opt/pedro/bin/pip install --no-cache-dir --constraint constraints.txt ".${EXTRAS}"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/pedro-ledger --shell /usr/sbin/nologin pedro
COPY --from=build /opt/pedro /opt/pedro
ENV PATH=/opt/pedro/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PEDRO_HOST=0.0.0.0 \
    PEDRO_PORT=8080 \
    PEDRO_DATA_DIR=/var/lib/pedro-ledger \
    PEDRO_LOG_FORMAT=json
USER 10001
EXPOSE 8080
VOLUME /var/lib/pedro-ledger
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PEDRO_PORT\"]}/livez', timeout=2)"]
ENTRYPOINT ["pedro-ledger"]
CMD ["serve"]
