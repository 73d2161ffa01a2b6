# The words of ./dev, which reads this file, that run nginx and the module so
# that a fault of memory shows: sanitize, fuzz-module and valgrind.

# nginx itself is built too: with its pools made of plain allocations, a byte
# too many in one of them is seen.
build_sanitized() {
    # shellcheck disable=SC2086 # lists of words
    need $build_packages $test_packages libpcre2-dev dpkg-dev
    mkdir -p build
    fetch_nginx
    built=$root/build/sanitize
    checks='-fsanitize=address,undefined'
    flags="-O1 -g -fno-omit-frame-pointer $checks -fno-sanitize-recover=undefined"
    # These three nginx's own code does not pass.
    flags="$flags -fno-sanitize=nonnull-attribute,alignment,pointer-overflow"
    # As in Debian's own nginx.
    configure "$tree" "$built" "$flags -DNGX_DEBUG_PALLOC=1" "$checks" \
        --with-http_gunzip_module
    compile "$tree" "$built" binary modules
}

# sanitized COMMAND...: with that nginx, and whether nothing was reported.
# ASan reports into a directory, workers too, who are not root. What UBSan says
# is in nginx's error log, which each command looks at itself.
sanitized() {
    reports=$(mktemp -d "${TMPDIR:-/tmp}/keystile-reports.XXXXXX")
    chmod 1777 "$reports"
    # nginx's core does what an odr check takes for a fault: each module has
    # its ngx_modules. The `env` line keeps the options over an upgrade of the
    # binary. Tests of memory itself look at KEYSTILE_SANITIZED: under ASan,
    # mlock() does nothing and freed memory stays as it was.
    options=detect_odr_violation=0:detect_leaks=0:log_path=$reports/asan
    status=0
    env KEYSTILE_NGINX="$built/nginx" \
        KEYSTILE_MODULE="$built/ngx_http_keystile_module.so" \
        KEYSTILE_GLOBALS='env ASAN_OPTIONS;' KEYSTILE_TEST_PATIENCE=10 \
        KEYSTILE_SANITIZED=1 ASAN_OPTIONS="$options" "$@" || status=1
    for report in "$reports"/*; do
        if [ -e "$report" ]; then
            cat "$report"
            status=1
        fi
    done
    rm -r "$reports"
    return $status
}

do_sanitize() {
    build_sanitized
    clients

    # Leaks are looked for in what the core's own tests run. A hardened worker
    # cannot be searched for them: no one may trace it, itself included.
    result=0
    KEYSTILE_UNIT=$built-unit KEYSTILE_FUZZ=$built-fuzz CXXFLAGS=$flags \
        t/prove t/unit.t t/fuzz.t || result=1
    sanitized env KEYSTILE_UNIT="$built-unit" KEYSTILE_FUZZ="$built-fuzz" \
        CXXFLAGS="$flags" t/prove -j 2 t || result=1
    return $result
}

do_fuzz_module() {
    [ $# -le 1 ] || usage
    build_sanitized
    sanitized t/fuzz/module/run.pl "$@"
}

# As ./dev sanitize does, it builds nginx too, whose pools are plain allocations
# then, and leaves out tests of memory itself, by KEYSTILE_SANITIZED; besides,
# that of time, the real clients, who do not wait so long, and a script that
# keeps our environment from nginx.
do_valgrind() {
    # shellcheck disable=SC2086 # lists of words
    need $build_packages $test_packages libpcre2-dev dpkg-dev
    mkdir -p build
    fetch_nginx
    built=$root/build/valgrind
    configure "$tree" "$built" '-O1 -g -DNGX_DEBUG_PALLOC=1' ''
    compile "$tree" "$built" binary modules
    clients
    if [ $# = 0 ]; then
        for test in t/*.t; do
            case $test in
            t/clients_* | t/key_timing.t | t/responses_proxy.t) ;;
            *) set -- "$@" "$test" ;;
            esac
        done
    fi

    reports=$(mktemp -d "${TMPDIR:-/tmp}/keystile-reports.XXXXXX")
    status=0
    KEYSTILE_NGINX=$root/t/valgrind/nginx \
        KEYSTILE_VALGRIND_NGINX=$built/nginx \
        KEYSTILE_VALGRIND_REPORTS=$reports \
        KEYSTILE_MODULE=$built/ngx_http_keystile_module.so \
        KEYSTILE_TEST_PATIENCE=10 KEYSTILE_SANITIZED=1 \
        KEYSTILE_TEST_TOLERATES='keystile could not harden this process' \
        t/prove -j 2 "$@" || status=1
    # What begins with -- is about valgrind, which does not know seccomp(2) and
    # memfd_secret(2).
    if grep -h '^==' "$reports"/*; then
        status=1
    fi
    rm -r "$reports"
    return $status
}
