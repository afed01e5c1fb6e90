# What a container of PostgreSQL runs: the same in the official image and in one made of Debian's packages.
set -e
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH
data=/tmp/postgres
install -d -o postgres -m 700 $data
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
as initdb -D $data -U postgres -A trust -E UTF8 --no-locale --no-sync >/dev/null
echo 'host all all all trust' >>$data/pg_hba.conf
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D $data -k /tmp \
    -c 'listen_addresses=*' -c max_connections=1000 -c fsync=off
