// What the applications share: which form they are to use, and how they tell the test.
import { readFileSync } from "node:fs";

export const recommended = process.env.FORM === "recommended";

// The version of a package, or another fact.
export function report(fact, value) {
  const told = fact === "version" ? JSON.parse(readFileSync(`node_modules/${value}/package.json`)).version : value;
  console.log(fact, told);
  return true;
}
