import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { runtimesHere } from '#src/containerizer/runtime/runtimes-here.js';

/** Programs of these names come first in `PATH`. @param scripts of `sh` */
function install(scripts: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'runtimes-'));
  for (const [name, script] of Object.entries(scripts))
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  vi.stubEnv('PATH', `${directory}:/usr/bin:/bin`);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

it('runtimes tell their versions, the first of them being the one that is used', async () => {
  const directory = install({
    crun: 'echo "crun version 1.21"; echo "commit: abc"',
    runc: 'echo "runc version 1.1.5+ds1"; echo "spec: 1.0.2-dev"',
  });
  expect(await runtimesHere()).toEqual([
    {
      name: 'crun',
      program: join(directory, 'crun'),
      version: '1.21',
      problem: undefined,
      isDefault: true,
      knownHoles: [],
    },
    {
      name: 'runc',
      program: join(directory, 'runc'),
      version: '1.1.5+ds1',
      problem: undefined,
      isDefault: false,
      knownHoles: ['CVE-2024-21626', 'CVE-2025-31133', 'CVE-2025-52565', 'CVE-2025-52881'],
    },
  ]);
});

it('one that hangs, prints for ever, or says something else is told as it is, and holds nobody up', async () => {
  install({ crun: 'exec sleep 5', runc: 'while :; do echo no version; done' });
  const began = Date.now();
  const told = await runtimesHere({ answer: 300 });
  expect(told.map(({ version, problem }) => [version, problem])).toEqual([
    [undefined, 'it did not answer within 0.3 s'],
    [undefined, 'it does not say'],
  ]);
  expect(Date.now() - began).toBeLessThan(3000);
  install({ crun: 'sleep 5 & echo "crun version 1.21"', runc: 'exit 1' });
  expect((await runtimesHere({ answer: 300 })).map(({ problem }) => problem)).toEqual([
    'it did not answer within 0.3 s',
    'it does not say',
  ]);
});
