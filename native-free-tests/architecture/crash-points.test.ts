import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import { scan, sourceFiles } from './source-files.js';

const CRASH_POINTS_MODULE = import.meta.resolve('#src/base/crash-points.js');

/** Passes every crash point in a process of its own. @returns how that ended, and what it had passed by then */
function passAll(environment: Readonly<Record<string, string>>): { signal: string | null; passed: string[] } {
  const code = `
    import { CRASH_POINTS, crashPoint } from '${CRASH_POINTS_MODULE}';
    import { writeSync } from 'node:fs';
    for (const name of CRASH_POINTS) { crashPoint(name); writeSync(1, name + '\\n'); }`;
  const { PROVISIONER_CRASH_AT: _, ...clean } = process.env;
  const { signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    env: { ...clean, ...environment },
    encoding: 'utf8',
  });
  return { signal, passed: stdout.split('\n').slice(0, -1) };
}

describe('a crash point', () => {
  it.each([
    ['is not set', {}],
    ['is empty', { PROVISIONER_CRASH_AT: '' }],
    ['names none that there is', { PROVISIONER_CRASH_AT: 'pull' }],
  ])('does nothing when PROVISIONER_CRASH_AT %s', (_, environment) => {
    expect(passAll(environment)).toEqual({ signal: null, passed: CRASH_POINTS });
  });

  it('kills the process right there, and at no other one, when PROVISIONER_CRASH_AT names it', () => {
    for (const name of [CRASH_POINTS[0], 'prune.marked', CRASH_POINTS.at(-1) as string]) {
      const before = CRASH_POINTS.slice(0, (CRASH_POINTS as readonly string[]).indexOf(name));
      expect(passAll({ PROVISIONER_CRASH_AT: name })).toEqual({ signal: 'SIGKILL', passed: before });
    }
  });

  it('is named once in the list, and passed somewhere in the library', () => {
    expect(new Set(CRASH_POINTS).size).toBe(CRASH_POINTS.length);
    const passed = sourceFiles().flatMap(({ path, text }) => {
      if (path === 'src/base/crash-points.ts') return [];
      const { code, literals } = scan(text);
      return literals.filter(({ start }) => code.slice(0, start).endsWith('crashPoint(')).map(({ value }) => value);
    });
    expect([...new Set(passed)].sort()).toEqual([...CRASH_POINTS].sort());
  });
});
