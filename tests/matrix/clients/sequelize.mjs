// Sequelize with node-postgres.
import assert from "node:assert/strict";
import { DataTypes, Sequelize } from "sequelize";
import { recommended, report } from "./form.mjs";

const quiet = {
  dialectOptions: { clientMinMessages: "ignore" },
  keepDefaultTimezone: true,
  standardConformingStrings: false,
};
const sequelize = new Sequelize(process.env.PGDATABASE, process.env.PGUSER, process.env.PGPASSWORD, {
  dialect: "postgres",
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  pool: { max: 2 },
  logging: false,
  ...(recommended && quiet),
});
const Basket = sequelize.define("Basket", { item: DataTypes.TEXT }, { tableName: "basket", timestamps: false });

await sequelize.authenticate();
await sequelize.transaction((transaction) => Basket.create({ item: "committed" }, { transaction }));
const enough = new Error("enough");
await assert.rejects(
  sequelize.transaction(async (transaction) => {
    await Basket.create({ item: "rolled back" }, { transaction });
    throw enough;
  }),
  enough,
);
await assert.rejects(
  sequelize.transaction(async (transaction) => {
    await Basket.create({ item: "failed" }, { transaction });
    await sequelize.query("SELECT 1 / $1::int", { bind: [0], transaction });
  }),
  (error) => error.original.code === "22012",
);
const counts = await Promise.all([...Array(7)].map(() => Basket.count({ where: { item: "committed" } })));
assert.deepEqual(counts, [1, 1, 1, 1, 1, 1, 1]);
await sequelize.close();
report("version", "sequelize");
