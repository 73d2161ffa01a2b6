# nginx opens modules with RTLD_GLOBAL, so a symbol that the module exports
# may take the place of another module's. It exports what nginx looks up, and
# nothing else.

use strict;
use warnings;

use FindBin ();
use Test::More;

my $module = $ENV{KEYSTILE_MODULE}
    // "$FindBin::Bin/../build/nginx/ngx_http_keystile_module.so";

plan skip_all => 'the module is in the binary' if $module eq '';

open my $nm, '-|', 'nm', '-D', '--defined-only', $module or die "nm: $!";
my @symbols = sort map { (split)[-1] } <$nm>;
ok close($nm), 'the module has a symbol table';

is_deeply \@symbols, [qw(ngx_module_names ngx_module_order ngx_modules)],
    'the module exports what nginx looks up, and nothing else';

done_testing;
