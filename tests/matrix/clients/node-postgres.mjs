// node-postgres with its pool.
import assert from "node:assert/strict";
import pg from "pg";
import { recommended, report } from "./form.mjs";

// The client's own clock, where the server's would travel in the start-up message.
const timeouts = recommended ? { query_timeout: 5000 } : { statement_timeout: 5000 };

if (!recommended) {
  const refused = new pg.Client(timeouts);
  await assert.rejects(refused.connect(), (error) => report("refused", error.code));
}

const pool = new pg.Pool({ max: 2, ...(recommended && timeouts) });
const answers = await Promise.all([...Array(7).keys()].map((n) => pool.query("SELECT $1::int + 1 AS n", [n])));
assert.deepEqual(answers.map((answer) => answer.rows[0].n), [1, 2, 3, 4, 5, 6, 7]);

const client = await pool.connect();
const add = (item) => client.query("INSERT INTO basket (item) VALUES ($1)", [item]);
await client.query("BEGIN");
await add("committed");
await client.query("COMMIT");
await client.query("BEGIN");
await add("rolled back");
await client.query("ROLLBACK");
await client.query("BEGIN");
await add("failed");
await assert.rejects(client.query("SELECT 1 / $1::int", [0]), { code: "22012" });
await client.query("ROLLBACK");
client.release();

for (let round = 0; round < 3; round += 1) {
  const named = await pool.query({ name: "items", text: "SELECT item FROM basket WHERE item <> $1", values: [""] });
  assert.deepEqual(named.rows, [{ item: "committed" }]);
}
await pool.end();
report("version", "pg");
