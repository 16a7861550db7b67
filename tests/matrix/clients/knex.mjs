// Knex with node-postgres.
import assert from "node:assert/strict";
import knex from "knex";
import { recommended, report } from "./form.mjs";

const database = knex({
  client: "pg",
  connection: {
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    password: process.env.PGPASSWORD,
    database: process.env.PGDATABASE,
  },
  pool: { min: 0, max: 2 },
  ...(!recommended && { searchPath: ["app", "public"] }),
});
// The schema `app` has an empty table `order`, which only the search path finds.
const orders = () => Promise.all([...Array(7).keys()].map((n) => database("order").where("id", n)));
assert.deepEqual((await orders()).flat(), []);

await database.transaction((transaction) => transaction("basket").insert({ item: "committed" }));
const enough = new Error("enough");
await assert.rejects(
  database.transaction(async (transaction) => {
    await transaction("basket").insert({ item: "rolled back" });
    throw enough;
  }),
  enough,
);
await assert.rejects(
  database.transaction(async (transaction) => {
    await transaction("basket").insert({ item: "failed" });
    await transaction.raw("SELECT 1 / ?::int", [0]);
  }),
  { code: "22012" },
);
assert.deepEqual(await database("basket").select("item").whereNot("item", ""), [{ item: "committed" }]);
await database.destroy();
report("version", "knex");
