# nginx with keystile.
#
#   docker build -t keystile .
#   docker run -p 127.0.0.1:8080:8080 -v ./conf.d:/etc/nginx/conf.d:ro \
#       -v ./keys:/etc/keystile:ro keystile
#
# nginx loads the module and reads conf.d/*.conf in its http block. The master
# is root, since it reads the keys; the workers are www-data. A key is a file
# of root's with mode 0400, never a variable of the environment.

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build

WORKDIR /keystile
COPY . .
RUN ./dev build

FROM ${BASE}

RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d \
    && chmod 755 /usr/sbin/policy-rc.d \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends ca-certificates libjansson4 libstdc++6 \
        libzstd1 nginx zlib1g \
    && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled/default \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log

COPY --from=build /keystile/build/nginx/ngx_http_keystile_module.so \
    /usr/lib/nginx/modules/

RUN echo 'load_module modules/ngx_http_keystile_module.so;' \
        > /etc/nginx/modules-enabled/50-mod-http-keystile.conf \
    && install -d -m 700 /var/lib/keystile \
    && nginx -t

STOPSIGNAL SIGQUIT
EXPOSE 8080
CMD ["nginx", "-g", "daemon off;"]
