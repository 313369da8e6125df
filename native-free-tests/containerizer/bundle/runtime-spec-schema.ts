import { readFileSync } from 'node:fs';
import { type Schema, Validator } from '@cfworker/json-schema';

const read = (name: string): Schema =>
  JSON.parse(readFileSync(new URL(`../../../fixtures/runtime-spec/${name}`, import.meta.url), 'utf8'));

const BASE = 'https://opencontainers.org/schema/';
const validator = new Validator({ ...read('config-schema.json'), $id: `${BASE}config-schema.json` }, '4', false);
for (const name of ['config-linux.json', 'defs.json', 'defs-linux.json'])
  validator.addSchema(read(name), `${BASE}${name}`);

/** @returns what the runtime-spec's schema has against a `config.json`, as places and reasons */
export function schemaFaults(text: string): string[] {
  return validator
    .validate(JSON.parse(text))
    .errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
}
