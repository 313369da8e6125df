import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export type RunWithin = ReturnType<typeof runWithin>;
export type Outcome = ReturnType<RunWithin>;

/** The built command line on a store, run with `--json` by a command that takes something from it, such as `unshare`. */
export function runWithin(wrapper: readonly string[], root: string) {
  const [command = '', ...args] = [...wrapper, process.execPath, MAIN, '--root', root];
  return (...words: string[]) => {
    const env = { PATH: process.env['PATH'] };
    const { status, stdout, stderr } = spawnSync(command, [...args, ...words, '--json'], { encoding: 'utf8', env });
    const lines = stderr.split('\n').filter((line) => line.startsWith('{'));
    const told = lines.map((line) => JSON.parse(line));
    const errors = told.map(({ error }) => error).filter((error) => error !== undefined);
    const warnings = told.map(({ warning }) => warning).filter((warning) => warning !== undefined);
    return { status, errors, warnings, document: stdout === '' ? undefined : JSON.parse(stdout) };
  };
}

export function expectOk(outcome: Outcome): Outcome {
  expect(outcome).toMatchObject({ status: 0, errors: [] });
  return outcome;
}
