# nginx with keystile.
#
#   docker build -t keystile .
#   docker run -p 127.0.0.1:8080:8080 --read-only --tmpfs /run \
#       --tmpfs /var/lib/nginx -v ./conf.d:/etc/nginx/conf.d:ro \
#       -v ./openai.key:/run/secrets/openai.key:ro keystile
#
# nginx loads the module and reads conf.d/*.conf in its http block. The master
# is root, since it reads the keys; the workers are www-data. A key is a file
# of root's with mode 0400, never a variable of the environment.
# conf-examples/ has the same for Compose and for Kubernetes.

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build

# What is installed starts no server here.
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d \
    && chmod 755 /usr/sbin/policy-rc.d

WORKDIR /keystile/source
COPY debian/control debian/
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get build-dep -y \
        --no-install-recommends ./

COPY . .
RUN DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -us -uc -b

FROM ${BASE}

COPY --from=build /keystile/*.deb /keystile/
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d \
    && chmod 755 /usr/sbin/policy-rc.d \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends nginx /keystile/*.deb \
    && apt-get clean \
    && rm -rf /keystile /usr/sbin/policy-rc.d /var/lib/apt/lists/* \
        /var/log/apt /var/log/dpkg.log /etc/nginx/sites-enabled/default \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log \
    && sed -i -E 's,^(error_log .*/error\.log);,\1 warn;,' \
        /etc/nginx/nginx.conf \
    && grep -q '^error_log .* warn;' /etc/nginx/nginx.conf

# A server of its own for the health check; conf.d stays the operator's.
RUN printf '%s\n' \
        'server {' \
        '    listen      127.0.0.1:9180;' \
        '    access_log  off;' \
        '    location = /health {' \
        '        keystile_health;' \
        '    }' \
        '}' > /etc/nginx/sites-enabled/keystile-health \
    && nginx -t \
    && rm -f /run/nginx.pid

HEALTHCHECK --interval=10s --timeout=3s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9180 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.1 200 ' <&3"]

STOPSIGNAL SIGQUIT
EXPOSE 8080
CMD ["nginx", "-g", "daemon off;"]
