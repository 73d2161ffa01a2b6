# nginx compiles C and C++ alike with $(CC) $(CFLAGS): what is for C++ only
# has to be said object by object.

keystile_objs() {
    for keystile_src in "$@"; do
        keystile_dir=`dirname $keystile_src`
        echo "$NGX_OBJS/addon/`basename $keystile_dir`/`
              basename $keystile_src .cpp`.o" '\'
    done
}

cat << END                                                    >> $NGX_MAKEFILE

KEYSTILE_CORE = \\
`keystile_objs $keystile_core_srcs`

KEYSTILE_NGINX = \\
`keystile_objs $keystile_nginx_srcs`

# Debian's flags have one that is for C only, from 13 on.
\$(KEYSTILE_CORE) \$(KEYSTILE_NGINX): CFLAGS := \\
	\$(filter-out -Werror=implicit-function-declaration,\$(CFLAGS)) \\
	-std=c++20 -fno-exceptions -fno-rtti -fno-threadsafe-statics \\
	-fvisibility=hidden -Wall -Wextra -Wshadow -Werror \\
	-I $ngx_addon_dir/src -MMD -MP

# The core knows nothing of nginx, so it gets none of its include paths.
\$(KEYSTILE_CORE): CFLAGS += -Wpedantic -Wconversion -Wold-style-cast
\$(KEYSTILE_CORE): ALL_INCS =

# nginx's headers are C: our warnings are not meant for them.
\$(KEYSTILE_NGINX): ALL_INCS := \$(subst -I ,-isystem ,\$(ALL_INCS))

# Where each byte of a reply is looked at.
KEYSTILE_READERS = \\
	$NGX_OBJS/addon/core/event_stream.o \\
	$NGX_OBJS/addon/core/json_scan.o \\
	$NGX_OBJS/addon/core/json_skip.o \\
	$NGX_OBJS/addon/core/json_text.o \\
	$NGX_OBJS/addon/core/usage.o \\
	$NGX_OBJS/addon/core/usage_scan.o

\$(KEYSTILE_READERS): CFLAGS += -O3

# What -MMD found; nginx's own headers are in ADDON_DEPS.
-include \$(patsubst %.o,%.d,\$(KEYSTILE_CORE) \$(KEYSTILE_NGINX))

END
