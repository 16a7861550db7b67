# pgbench, which makes its tables and runs its own transactions in each protocol, and then the matrix's.
set -eu
pgbench --quiet --initialize 2>/dev/null
for protocol in simple extended prepared; do
  pgbench --no-vacuum --client 4 --transactions 10 --protocol "$protocol" >/dev/null
done
pgbench --no-vacuum --client 1 --transactions 1 --protocol prepared --file /dev/stdin >/dev/null <<SQL
BEGIN;
INSERT INTO basket (item) VALUES ('committed');
COMMIT;
BEGIN;
INSERT INTO basket (item) VALUES ('rolled back');
ROLLBACK;
SQL
echo version "$(pgbench --version | cut -d ' ' -f 3)"
