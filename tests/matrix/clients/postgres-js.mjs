// postgres.js, which has a pool of its own.
import assert from "node:assert/strict";
import postgres from "postgres";
import { report } from "./form.mjs";

const sql = postgres({ max: 2 });
const answers = await Promise.all([...Array(7).keys()].map((n) => sql`SELECT ${n}::int + 1 AS n`));
assert.deepEqual(answers.map((rows) => rows[0].n), [1, 2, 3, 4, 5, 6, 7]);

await sql.begin((transaction) => transaction`INSERT INTO basket ${transaction({ item: "committed" })}`);
const enough = new Error("enough");
await assert.rejects(
  sql.begin(async (transaction) => {
    await transaction`INSERT INTO basket ${transaction({ item: "rolled back" })}`;
    throw enough;
  }),
  enough,
);
await assert.rejects(
  sql.begin(async (transaction) => {
    await transaction`INSERT INTO basket ${transaction({ item: "failed" })}`;
    await transaction`SELECT 1 / ${0}::int`;
  }),
  { code: "22012" },
);
assert.deepEqual((await sql`SELECT ${["red", "green"]}::colour[]::text[] AS colours`)[0].colours, ["red", "green"]);
let rows = 0;
await sql`SELECT generate_series(1, 200)`.cursor(50, (some) => {
  rows += some.length;
});
assert.equal(rows, 200);
assert.deepEqual([...(await sql.unsafe("SELECT item FROM basket"))], [{ item: "committed" }]);
await sql.end();
report("version", "postgres");
