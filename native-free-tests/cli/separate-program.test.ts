import { describe, expect, it } from 'vitest';
import { createProgram } from '#src/cli/program.js';
import { separateProgram } from '#src/cli/separate-program.js';

/** As a shell splits it where nothing is quoted. */
async function separated(line: string): Promise<string> {
  const words = line.split(' ');
  const { program } = await createProgram(words, {
    stdin: () => process.stdin,
    stdout: { write: () => true },
    stderr: { write: () => true },
    environment: {},
    signal: new AbortController().signal,
  });
  return separateProgram(words, program).join(' ');
}

describe('words behind the first argument of a command that runs a program', () => {
  it.each([
    ['run app', 'run app --'],
    ['run app ls -l', 'run app -- ls -l'],
    ['run --rm app sh -c x', 'run --rm app -- sh -c x'],
    ['run --rm app --rm', 'run --rm app -- --rm'],
    ['run -d --name a app ls', 'run -d --name a app -- ls'],
    ['run -dm 5m app ls', 'run -dm 5m app -- ls'],
    ['run -m5m app ls', 'run -m5m app -- ls'],
    ['run --memory=5m app ls', 'run --memory=5m app -- ls'],
    ['run -e A=B -e C app env -i', 'run -e A=B -e C app -- env -i'],
    ['--root /s run app -x', '--root /s run app -- -x'],
    ['run --root /s app -x', 'run --root /s app -- -x'],
    ['--json run app --json', '--json run app -- --json'],
    ['exec a ls -l', 'exec a -- ls -l'],
    ['fork a b ls -l', 'fork a b -- ls -l'],
    ['fork -a a b ls -l', 'fork -a a b -- ls -l'],
    ['fork a b --owner c ls --owner', 'fork a b --owner c -- ls --owner'],
    ['exec -i -u 1 a cat -', 'exec -i -u 1 a -- cat -'],
  ])('are its own: %s', async (line, expected) => {
    expect(await separated(line)).toBe(expected);
  });

  it.each([
    'run -- app -l',
    'run',
    'run --rm',
    'logs a -f',
    'ps --running',
    'pull run --force',
    'help run',
    'fork a b --start',
    'fork a',
  ])('stay as they are where there is no program: %s', async (line) => {
    expect(await separated(line)).toBe(line);
  });
});
