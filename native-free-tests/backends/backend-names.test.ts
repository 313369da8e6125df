import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BACKEND_NAMES } from '#src/backends/backend.js';
import { runInMemory } from '../cli/run-in-memory.js';
import { openMemoryStore } from '../helpers/memory-store.js';

const manual = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');

describe('each name of a backend', () => {
  it('is that of one which every store has, and of which `info` tells', async () => {
    const { backends } = await (await openMemoryStore()).store.info();
    expect(backends.map(({ name }) => name)).toEqual(BACKEND_NAMES);
  });

  it('is offered by the command line beside `auto`, and explained in the manual', async () => {
    const { stdout } = await runInMemory(['provision', '--help']);
    const [, choices = ''] = /--backend <name> [\s\S]*?\(choices: ([^)]*)\)/.exec(stdout) ?? [];
    expect([...choices.matchAll(/"(\w+)"/g)].map(([, name]) => name)).toEqual(['auto', ...BACKEND_NAMES]);
    const [row = ''] = manual.split('\n').filter((line) => line.startsWith('| `--backend NAME`'));
    expect(['auto', ...BACKEND_NAMES].filter((name) => !row.includes(`\`${name}\``))).toEqual([]);
  });
});
