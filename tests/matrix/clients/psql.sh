# psql, whose results come whole or, with FETCH_COUNT, in portions.
set -eu
portions=
if [ "$FORM" = default ]; then portions='\set FETCH_COUNT 50'; fi
told=$(psql -X -q -A -t 2>&1 <<SQL
$portions
SELECT count(*), sum(n) FROM generate_series(1, 200) AS n;
BEGIN;
INSERT INTO basket (item) VALUES ('committed');
COMMIT;
BEGIN;
COPY basket (item) FROM STDIN;
rolled back
\\.
ROLLBACK;
BEGIN;
INSERT INTO basket (item) VALUES ('failed');
SELECT 1 / 0;
ROLLBACK;
COPY basket (item) TO STDOUT;
SQL
)
[ "$told" = "200|20100
ERROR:  division by zero
committed" ] || { echo "psql told: $told" >&2; exit 1; }
echo version "$(psql --version | cut -d ' ' -f 3)"
