import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readKernelFacts } from '#src/containerizer/bundle/kernel-facts.js';

it('what the machine can do, and this process may give, is read of the kernel', () => {
  const root = mkdtempSync(join(tmpdir(), 'provisioner-kernel-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const files = {
    'proc/self/status':
      'Name:\tnode\nCapInh:\t0000000000000000\nCapPrm:\t00000000000000e1\nCapBnd:\t00000000000000c3\n',
    'proc/self/limits': [
      'Limit                     Soft Limit           Hard Limit           Units     ',
      'Max cpu time              unlimited            unlimited            seconds   ',
      'Max open files            1024                 524288               files     ',
      'Max nice priority         0                    20                   ',
    ].join('\n'),
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  expect(readKernelFacts(join(root, 'proc'))).toEqual({
    hardLimits: { cpu: Number.POSITIVE_INFINITY, nofile: 524288, nice: 20 },
    // Of those that it has (0, 5, 6, 7) only those that it may hand down (0, 1, 6, 7).
    capabilities: ['CAP_CHOWN', 'CAP_SETGID', 'CAP_SETUID'],
    recursiveAttributes: expect.any(Boolean),
  });
});
